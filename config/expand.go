package config

import (
	"fmt"
	"strings"
)

// lookupFunc finds an environment variable, as os.LookupEnv does.
type lookupFunc func(name string) (string, bool)

// expand replaces ${NAME} and ${NAME:-default} in s, and $$ by a dollar sign. An
// empty variable counts as not set if there is a default, as in a shell. A
// dollar sign before anything else stands for itself.
func expand(s string, lookup lookupFunc) (string, error) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			s = after[1:]
		case strings.HasPrefix(after, "{"):
			inner, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", fmt.Errorf("${%s has no closing }", after[1:])
			}
			name, fallback, has := strings.Cut(inner, ":-")
			if !variableName(name) {
				return "", fmt.Errorf("${%s} names no variable; write $$ for a dollar sign", inner)
			}
			v, set := lookup(name)
			switch {
			case has && v == "":
				v = fallback
			case !set:
				return "", fmt.Errorf("the environment variable %s is not set; ${%s:-default} gives a default", name, name)
			}
			b.WriteString(v)
			s = rest
		default:
			b.WriteByte('$')
			s = after
		}
	}
}

func variableName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
