// Package command builds the sluice command for tests of packages that cannot
// import its code, such as the examples.
package command

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Main builds the sluice command into a temporary folder, puts that folder in
// front of PATH, calls run, removes the folder, and returns the exit status of
// run, or 1 if the command does not build. A TestMain calls it:
//
//	func TestMain(m *testing.M) { os.Exit(command.Main(m.Run)) }
func Main(run func() int) int {
	dir, err := os.MkdirTemp("", "sluice-command-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "github.com/sluice-go/sluice/cmd/sluice") //nolint:noctx // a TestMain has no context
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the sluice command: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}
