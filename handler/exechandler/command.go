package exechandler

import (
	"errors"
	"os/exec"
	"path/filepath"
)

// lookUp finds a command's program.
func lookUp(words []string) (path string, err error) {
	if len(words) == 0 || words[0] == "" {
		return "", errors.New("the command names no program")
	}
	path, err = exec.LookPath(words[0])
	if err != nil {
		return "", err
	}
	// A relative path would be looked for in the command's directory.
	return filepath.Abs(path)
}
