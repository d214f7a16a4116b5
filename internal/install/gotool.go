package install

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// GoTool returns the path of a program that go install builds from a package at a pinned
// version, as in "example.com/cmd/tool@v1.2.3". tags are build tags, separated by commas.
func GoTool(ctx context.Context, pkg, tags string) (string, error) {
	path, version, ok := strings.Cut(pkg, "@")
	if !ok {
		return "", errors.New(pkg + " has no version")
	}
	name := filepath.Base(path)
	// Built by another Go it would be another program.
	dir, err := once(ctx, name+"-"+version, []byte(pkg+" "+tags+" "+runtime.Version()), func(dir string) error {
		tool, err := exec.LookPath("go")
		if err != nil {
			return errors.New("no go on the PATH")
		}
		return runIn(ctx, dir, []string{"GOBIN=" + dir, "GOFLAGS="}, tool, "install", "-tags", tags, pkg)
	})
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(dir, name), nil
}
