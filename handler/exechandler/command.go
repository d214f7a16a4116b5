package exechandler

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/kballard/go-shellquote"
)

// Split splits a command line into words, by the quoting rules of a shell and
// without anything else of one: variables, redirections and patterns stay as
// they are. It refuses a quote that is not closed.
func Split(line string) ([]string, error) {
	words, err := shellquote.Split(line)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	return words, nil
}

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
