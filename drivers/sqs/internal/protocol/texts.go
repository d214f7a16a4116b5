package protocol

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The sizes of blocks of strings, in bytes, unless a response is shorter. Strings that
// are longer than longString are allocated alone. Together they bound the memory of
// other messages that a message keeps alive.
const (
	keptBlock  = 2 << 10
	briefBlock = 4 << 10
	longString = 1 << 10
)

// pointerBlock is how many strings that are pointed to are allocated together.
const pointerBlock = 2 * maxEntries

// texts allocates strings in blocks of the given size, or of the length of the whole
// response, most, if that is smaller.
type texts struct {
	size, most int
	block      strings.Builder
	pointers   []string // those that are free
}

// room makes room for n bytes, in a new block if necessary.
func (t *texts) room(n int) {
	if t.block.Cap()-t.block.Len() < n {
		t.block = strings.Builder{}
		t.block.Grow(max(n, min(t.size, t.most)))
	}
}

// copy returns text as a string.
func (t *texts) copy(text []byte) string {
	if len(text) > longString {
		return string(text)
	}
	t.room(len(text))
	begin := t.block.Len()
	t.block.Write(text)
	return t.block.String()[begin:]
}

// unquote returns the string that text stands for. It returns false if text has an
// escape that is not valid, or if it is not UTF-8, for which the SDK has its own rule.
func (t *texts) unquote(text []byte) (string, bool) {
	if !utf8.Valid(text) {
		return "", false
	}
	if len(text) > longString {
		var alone strings.Builder
		alone.Grow(len(text))
		ok := unescape(&alone, text)
		return alone.String(), ok
	}
	t.room(len(text)) // an escape is longer than its character
	begin := t.block.Len()
	ok := unescape(&t.block, text)
	return t.block.String()[begin:], ok
}

// pointer returns a pointer to s.
func (t *texts) pointer(s string) *string {
	if len(t.pointers) == 0 {
		t.pointers = make([]string, pointerBlock)
	}
	to := &t.pointers[0]
	t.pointers = t.pointers[1:]
	*to = s
	return to
}

// unescape writes the string that text stands for.
func unescape(to *strings.Builder, text []byte) bool {
	begin := 0 // of the part without an escape
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			i++
			continue
		}
		to.Write(text[begin:i])
		r, n := escape(text[i:])
		if n == 0 {
			return false
		}
		to.WriteRune(r)
		i += n
		begin = i
	}
	to.Write(text[begin:])
	return true
}

// escape returns the character of the escape at the beginning of text, and the
// escape's length, which is 0 if it is not valid. Half of a surrogate pair is U+FFFD.
func escape(text []byte) (rune, int) {
	if len(text) < 2 {
		return 0, 0
	}
	switch c := text[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := unit(text)
		if !ok {
			return 0, 0
		}
		if utf16.IsSurrogate(r) {
			if second, ok := unit(text[6:]); ok {
				if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
					return pair, 12
				}
			}
			return utf8.RuneError, 6
		}
		return r, 6
	}
	return 0, 0
}

// unit returns the UTF-16 code unit of the escape at the beginning of text.
func unit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var b [2]byte
	if _, err := hex.Decode(b[:], text[2:6]); err != nil {
		return 0, false
	}
	return rune(binary.BigEndian.Uint16(b[:])), true
}
