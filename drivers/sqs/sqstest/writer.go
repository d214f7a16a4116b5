package sqstest

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// A writer appends one JSON document to b. Commas are put in by itself.
type writer struct{ b []byte }

func (w *writer) comma() {
	if n := len(w.b); n > 0 {
		switch w.b[n-1] {
		case '{', '[', ':':
		default:
			w.b = append(w.b, ',')
		}
	}
}

func (w *writer) open(c byte) {
	w.comma()
	w.b = append(w.b, c)
}

func (w *writer) close(c byte) { w.b = append(w.b, c) }

// key writes a member's name, which is one of this package's own and needs no
// escape.
func (w *writer) key(name string) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) str(s string) {
	w.comma()
	w.b = appendString(w.b, s)
}

func (w *writer) member(name, value string) {
	w.key(name)
	w.b = appendString(w.b, value)
}

func (w *writer) memberBytes(name string, value []byte) {
	w.key(name)
	w.b = appendString(w.b, value)
}

func (w *writer) memberBase64(name string, value []byte) {
	w.key(name)
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, value)
	w.b = append(w.b, '"')
}

// millis writes a number as a string, as SQS gives its attributes.
func (w *writer) memberQuoted(name string, n int64) {
	w.key(name)
	w.b = append(w.b, '"')
	w.b = strconv.AppendInt(w.b, n, 10)
	w.b = append(w.b, '"')
}

func (w *writer) memberInt(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) memberBool(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

// stringMap writes a map; its order is of no account to a client.
func (w *writer) stringMap(name string, m map[string]string) {
	w.key(name)
	w.b = append(w.b, '{')
	for k, v := range m {
		w.str(k)
		w.b = append(w.b, ':')
		w.b = appendString(w.b, v)
	}
	w.b = append(w.b, '}')
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD; it
// can only come from a message that another face of the engine sent.
func appendString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
			}
			i++
			from = i
			continue
		}
		end := min(i+utf8.UTFMax, len(s))
		if u, n := utf8.DecodeRuneInString(string(s[i:end])); u == utf8.RuneError && n == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			from = i
		} else {
			i += n
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
