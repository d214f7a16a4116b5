// Package command has the sluice command, and other programs, for tests of packages that
// cannot import their code, such as the examples.
package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Main puts the sluice command into a temporary folder, puts that folder in front of PATH,
// calls run, removes the folder, and returns the exit status of run, or 1 if the command
// does not build. A TestMain calls it:
//
//	func TestMain(m *testing.M) { os.Exit(command.Main(m.Run)) }
func Main(run func() int) int {
	dir, err := os.MkdirTemp("", "sluice-command-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := Build(context.Background(), dir, "github.com/sluice-go/sluice/cmd/sluice"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// Build puts the programs of packages into dir, under the names that go build gives them.
// An unchanged program comes from the build cache, in which go run keeps it; go build would
// link it each time.
func Build(ctx context.Context, dir string, packages ...string) error {
	for _, p := range packages {
		build := exec.CommandContext(ctx, "go", "run", "-exec", `sh -c 'cp "$0" "$SLUICE_TEST_PROGRAMS"'`, p)
		build.Env = append(os.Environ(), "SLUICE_TEST_PROGRAMS="+dir)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	return nil
}
