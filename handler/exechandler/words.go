package exechandler

import (
	"errors"
	"fmt"
	"strings"
)

// Split splits a command line into words by the quoting rules of the POSIX
// shell: backslashes, single quotes and double quotes. It expands nothing, so
// variables, redirections and patterns remain as written. It returns an error if
// a quote is not closed or if the line ends in a backslash.
func Split(line string) ([]string, error) {
	words, err := split(line)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	return words, nil
}

// split reads line byte by byte: all that it looks for is ASCII, which is never
// a part of a longer character in UTF-8.
func split(line string) ([]string, error) {
	words := make([]string, 0)
	var word strings.Builder
	in := false // a word has begun, perhaps an empty quoted one
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		case '\\':
			i++
			if i == len(line) {
				return nil, errors.New("nothing follows the backslash")
			}
			if line[i] != '\n' { // an escaped newline continues the line
				word.WriteByte(line[i])
				in = true
			}
		case '\'':
			end := strings.IndexByte(line[i+1:], c)
			if end < 0 {
				return nil, errors.New("the single quote is not closed")
			}
			word.WriteString(line[i+1 : i+1+end])
			i += 1 + end
			in = true
		case '"':
			end := doubleQuoted(&word, line[i+1:])
			if end < 0 {
				return nil, errors.New("the double quote is not closed")
			}
			i += 1 + end
			in = true
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// doubleQuoted writes what s has before a closing double quote and returns the
// quote's index, or -1 if there is no such quote. A backslash escapes only $, `,
// ", \ and the newline; before any other character it stands for itself.
func doubleQuoted(word *strings.Builder, s string) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i
		case c == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0:
			i++
			if s[i] != '\n' {
				word.WriteByte(s[i])
			}
		default:
			word.WriteByte(c)
		}
	}
	return -1
}
