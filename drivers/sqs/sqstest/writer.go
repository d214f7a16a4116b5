package sqstest

import (
	"encoding/base64"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// A writer appends one JSON document to b and adds the commas.
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

// key writes a member's name, which must not need escapes.
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

// memberQuoted writes a number as a string, as SQS does with attributes.
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

// stringMap writes a map in any order.
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

// appendString appends s as a JSON string. Text that is not UTF-8 becomes U+FFFD; it
// comes only from messages that were sent by another face of the engine.
func appendString[S string | []byte](dst []byte, s S) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // the error reports the U+FFFD
	return dst
}
