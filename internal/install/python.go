package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Python returns the interpreter of a virtual environment that holds exactly
// what requirements pins. Making it takes a Python of 3.11 or newer and, once,
// about a minute. SLUICE_PYTHON names another interpreter to make it with.
func Python(ctx context.Context, name string, requirements []byte) (string, error) {
	dir, err := once(ctx, name, requirements, func(dir string) error {
		python, err := findPython(ctx)
		if err != nil {
			return err
		}
		if err := run(ctx, dir, python, "-m", "venv", dir); err != nil {
			return fmt.Errorf("%w (on Debian and Ubuntu: apt-get install python3-venv)", err)
		}
		list := filepath.Join(dir, "requirements.txt")
		if err := os.WriteFile(list, requirements, 0o644); err != nil {
			return err
		}
		return run(ctx, dir, interpreter(dir), "-m", "pip", "install",
			"--no-input", "--disable-pip-version-check", "--quiet", "-r", list)
	})
	if err != nil {
		return "", err
	}
	return interpreter(dir), nil
}

func interpreter(venv string) string { return filepath.Join(venv, "bin", "python") }

// findPython prefers 3.11, which the pins were made with.
func findPython(ctx context.Context) (string, error) {
	names := []string{"python3.11", "python3", "python3.12", "python3.13", "python"}
	if name := os.Getenv("SLUICE_PYTHON"); name != "" {
		names = []string{name}
	}
	var tried []string
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		const check = "import sys; print('%d.%d' % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))"
		out, err := exec.CommandContext(ctx, path, "-c", check).Output()
		if err == nil {
			return path, nil
		}
		tried = append(tried, fmt.Sprintf("%s is %s", name, strings.TrimSpace(string(out))))
	}
	if len(tried) == 0 {
		return "", errors.New("no Python 3.11 or newer (looked for " + strings.Join(names, ", ") + ")")
	}
	return "", errors.New("no Python 3.11 or newer: " + strings.Join(tried, ", "))
}
