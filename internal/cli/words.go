package cli

import (
	"os/exec"
	"strings"
	"unicode/utf8"

	"github.com/kballard/go-shellquote"
)

// parseCommand splits a command line into words, by the quoting rules of a
// shell and without anything else of one, and finds the program.
func parseCommand(line string) (path string, words []string, err error) {
	words, err = shellquote.Split(line)
	if err != nil {
		return "", nil, usage("--exec %q: %w", line, err)
	}
	if len(words) == 0 || words[0] == "" {
		return "", nil, usage("--exec names no program")
	}
	path, err = exec.LookPath(words[0])
	if err != nil {
		return "", nil, usage("--exec: %w", err)
	}
	return path, words, nil
}

// longestVariable bounds an environment variable: the kernel refuses to start a
// program with a string of more than 128 KiB.
const longestVariable = 100 << 10

// variable returns an environment variable, or false where the value cannot be
// one. A NUL, which would end it, becomes the replacement character.
func variable(name, value string) (string, bool) {
	value = strings.ReplaceAll(value, "\x00", string(utf8.RuneError))
	if len(name)+len(value) > longestVariable {
		return "", false
	}
	return name + "=" + value, true
}

// variableSuffix is an attribute's name as an environment variable has it: in
// upper case, with an underscore for every other character than an ASCII letter
// or digit.
func variableSuffix(attribute string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, attribute)
}
