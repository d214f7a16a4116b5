package sqstest

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of values that a reader skips. SQS's own
// requests nest five deep.
const maxDepth = 64

// A reader pulls typed values out of one JSON document. encoding/json would do
// it through reflection, in two passes, and would replace what is not UTF-8
// without a word, where SQS answers InvalidMessageContents. The first fault is
// kept in err, and every later call then returns zero values.
type reader struct {
	b     []byte
	i     int
	depth int
	err   error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: %s", r.i, fmt.Sprintf(format, args...))
	}
}

// next skips white space and returns the byte there, or 0 at the end.
func (r *reader) next() byte {
	for r.i < len(r.b) {
		switch c := r.b[r.i]; c {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return c
		}
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.err != nil {
		return false
	}
	if r.next() != c {
		return false
	}
	r.i++
	return true
}

// null consumes a null, if that is what comes.
func (r *reader) null() bool {
	if r.err != nil || r.next() != 'n' {
		return false
	}
	return r.literal("null")
}

func (r *reader) literal(s string) bool {
	if len(r.b)-r.i < len(s) || string(r.b[r.i:r.i+len(s)]) != s {
		r.fail("a JSON value was expected")
		return false
	}
	r.i += len(s)
	return true
}

func (r *reader) enter() bool {
	if r.depth++; r.depth > maxDepth {
		r.fail("values nest deeper than %d", maxDepth)
		return false
	}
	return true
}

// object calls f for each member, which must consume the value. The key is f's
// until then. A null is an empty object.
func (r *reader) object(f func(key []byte)) {
	if r.null() {
		return
	}
	if !r.take('{') {
		r.fail("an object was expected")
		return
	}
	if !r.enter() {
		return
	}
	defer func() { r.depth-- }()
	if r.take('}') {
		return
	}
	for r.err == nil {
		if r.next() != '"' {
			r.fail("a name was expected")
			return
		}
		key, _ := r.scan()
		if !r.take(':') {
			r.fail("a colon was expected")
			return
		}
		f(key)
		if r.take(',') {
			continue
		}
		if !r.take('}') {
			r.fail("a comma or the end of the object was expected")
		}
		return
	}
}

// array calls f for each element, which must consume it. A null is an empty
// array.
func (r *reader) array(f func()) {
	if r.null() {
		return
	}
	if !r.take('[') {
		r.fail("an array was expected")
		return
	}
	if !r.enter() {
		return
	}
	defer func() { r.depth-- }()
	if r.take(']') {
		return
	}
	for r.err == nil {
		f()
		if r.take(',') {
			continue
		}
		if !r.take(']') {
			r.fail("a comma or the end of the array was expected")
		}
		return
	}
}

// end checks that nothing follows.
func (r *reader) end() {
	if r.err == nil && r.next() != 0 {
		r.fail("something follows the document")
	}
	if r.err == nil && r.i < len(r.b) { // a NUL byte
		r.fail("something follows the document")
	}
}

// str reads a string; null is the empty one.
func (r *reader) str() string {
	b, _ := r.scan()
	return string(b)
}

// bytes reads a string into a slice of its own; null is nil.
func (r *reader) bytes() []byte {
	b, shared := r.scan()
	if b != nil && shared {
		b = append(make([]byte, 0, len(b)), b...)
	}
	return b
}

// base64 reads a binary value.
func (r *reader) base64() []byte {
	b, _ := r.scan()
	if b == nil || r.err != nil {
		return nil
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Decode(out, b)
	if err != nil {
		r.fail("a base64 value was expected: %v", err)
		return nil
	}
	return out[:n]
}

// scan reads a string and says whether the result is a part of the document.
// What is not UTF-8, a lone surrogate among it, comes through as bytes that are
// not UTF-8, for the caller to refuse. It returns nil for null.
func (r *reader) scan() (b []byte, shared bool) {
	if r.null() || r.err != nil {
		return nil, false
	}
	if !r.take('"') {
		r.fail("a string was expected")
		return nil, false
	}
	for j := r.i; j < len(r.b); j++ {
		switch c := r.b[j]; {
		case c == '"':
			b = r.b[r.i:j:j]
			r.i = j + 1
			return b, true
		case c == '\\':
			return r.unescape(j), false
		case c < ' ':
			r.i = j
			r.fail("a control character stands in a string")
			return nil, false
		}
	}
	r.i = len(r.b)
	r.fail("a string has no end")
	return nil, false
}

// unescape reads on from the first backslash, at j.
func (r *reader) unescape(j int) []byte {
	end := j // of the string, which is no longer when it is decoded
	for end < len(r.b) && r.b[end] != '"' {
		if r.b[end] == '\\' {
			end++
		}
		end++
	}
	out := make([]byte, 0, min(end, len(r.b))-r.i)
	out = append(out, r.b[r.i:j]...)
	for j < len(r.b) {
		c := r.b[j]
		switch {
		case c == '"':
			r.i = j + 1
			return out
		case c < ' ':
			r.i = j
			r.fail("a control character stands in a string")
			return nil
		case c != '\\':
			out = append(out, c)
			j++
			continue
		}
		if j+1 >= len(r.b) {
			break
		}
		j += 2
		switch c := r.b[j-1]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			u, ok := hex4(r.b[j:])
			if !ok {
				r.i = j
				r.fail("four hexadecimal digits were expected")
				return nil
			}
			j += 4
			if utf16.IsSurrogate(u) {
				if len(r.b)-j >= 6 && r.b[j] == '\\' && r.b[j+1] == 'u' {
					if low, ok := hex4(r.b[j+2:]); ok {
						if dec := utf16.DecodeRune(u, low); dec != utf8.RuneError {
							out = utf8.AppendRune(out, dec)
							j += 6
							continue
						}
					}
				}
				// utf8.AppendRune would make it U+FFFD, which SQS allows.
				out = append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
				continue
			}
			out = utf8.AppendRune(out, u)
		default:
			r.i = j
			r.fail("\\%c is no escape", c)
			return nil
		}
	}
	r.i = len(r.b)
	r.fail("a string has no end")
	return nil
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var u rune
	for _, c := range b[:4] {
		u <<= 4
		switch {
		case '0' <= c && c <= '9':
			u |= rune(c - '0')
		case 'a' <= c && c <= 'f':
			u |= rune(c-'a') + 10
		case 'A' <= c && c <= 'F':
			u |= rune(c-'A') + 10
		default:
			return 0, false
		}
	}
	return u, true
}

// integer reads a whole number; nil is null.
func (r *reader) integer() *int {
	if r.null() || r.err != nil {
		return nil
	}
	s := r.number()
	if r.err != nil {
		return nil
	}
	n, err := strconv.ParseInt(string(s), 10, 32)
	if err != nil {
		r.fail("%s is not a 32-bit whole number", s)
		return nil
	}
	v := int(n)
	return &v
}

// number consumes a number and returns its text.
func (r *reader) number() []byte {
	r.next()
	start := r.i
	digits := func() bool {
		from := r.i
		for r.i < len(r.b) && '0' <= r.b[r.i] && r.b[r.i] <= '9' {
			r.i++
		}
		return r.i > from
	}
	at := func(set string) bool {
		if r.i < len(r.b) {
			for k := range len(set) {
				if r.b[r.i] == set[k] {
					r.i++
					return true
				}
			}
		}
		return false
	}
	at("-")
	zero := r.i < len(r.b) && r.b[r.i] == '0'
	from := r.i
	ok := digits() && (!zero || r.i == from+1)
	if ok && at(".") {
		ok = digits()
	}
	if ok && at("eE") {
		at("+-")
		ok = digits()
	}
	if !ok {
		r.fail("a number was expected")
		return nil
	}
	return r.b[start:r.i]
}

// strings reads an array of strings.
func (r *reader) strings() []string {
	var out []string
	r.array(func() { out = append(out, r.str()) })
	return out
}

// stringMap reads an object of strings; nil where it is absent or null.
func (r *reader) stringMap() map[string]string {
	if r.null() {
		return nil
	}
	out := map[string]string{}
	r.object(func(key []byte) {
		k := string(key)
		out[k] = r.str()
	})
	return out
}

// skip consumes any value.
func (r *reader) skip() {
	if r.err != nil {
		return
	}
	switch c := r.next(); {
	case c == '{':
		r.object(func([]byte) { r.skip() })
	case c == '[':
		r.array(r.skip)
	case c == '"':
		r.scan()
	case c == 't':
		r.literal("true")
	case c == 'f':
		r.literal("false")
	case c == 'n':
		r.literal("null")
	default:
		r.number()
	}
}
