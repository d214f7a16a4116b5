package exechandler

import (
	"strings"
	"unicode/utf8"
)

// leftOut is the variable that names the attributes that a command does not get,
// because the environment has no room for them.
const leftOut = "SLUICE_LEFT_OUT"

// margin is the part of the kernel's limit that is reserved for the program's
// name, an interpreter's line, and the list of omitted attributes.
const margin = 16 << 10

// cost is what a string takes of the kernel's limit: itself, a NUL and a pointer.
func cost(s string) int { return len(s) + 9 }

func size(list []string) (n int) {
	for _, s := range list {
		n += cost(s)
	}
	return n
}

// list joins names with commas, up to a length.
func list(names []string) string {
	const longest = 2 << 10
	s := strings.ReplaceAll(strings.Join(names, ","), "\x00", string(utf8.RuneError))
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + ",..."
	}
	return s
}

// longestVariable bounds an environment variable: the kernel refuses to start a
// program with a string of more than 128 KiB.
const longestVariable = 100 << 10

// variable returns an environment variable, or false if the value cannot be
// one. A NUL, which would end it, becomes the replacement character.
func variable(name, value string) (string, bool) {
	value = strings.ReplaceAll(value, "\x00", string(utf8.RuneError))
	if len(name)+len(value) > longestVariable {
		return "", false
	}
	return name + "=" + value, true
}

// variableSuffix returns an attribute's name in the form of an environment
// variable: in upper case, with underscores for all characters except ASCII
// letters and digits.
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
