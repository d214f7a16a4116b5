package protocol

import (
	"encoding/base64"
	"math/big"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/document"
)

// Encode returns the JSON of an input, and false if it has a type that the encoder
// does not know. The result is the caller's. It may be called concurrently.
func Encode(in smithy.Serializable) ([]byte, bool) {
	if in == nil {
		return nil, false
	}
	e, _ := encoders.Get().(*encoder)
	in.Serialize(e)
	body, ok := slices.Clone(e.buf), !e.unknown
	if cap(e.buf) <= maxBuffer {
		*e = encoder{buf: e.buf[:0]}
		encoders.Put(e)
	}
	return body, ok
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// An encoder is a [smithy.ShapeSerializer] that writes JSON. The SDK calls its methods
// for the fields of an input in order.
type encoder struct {
	buf []byte
	// unknown reports that a type was written that the encoder does not know.
	unknown bool
}

var _ smithy.ShapeSerializer = (*encoder)(nil)

// next writes what precedes a value: a comma, unless it is the first of its list or
// object or follows its key, and the name of the field, unless it is an item of a
// list or the value of a map.
func (e *encoder) next(s *smithy.Schema) {
	if len(e.buf) == 0 {
		return
	}
	switch e.buf[len(e.buf)-1] {
	case '{', '[':
	case ':':
		return
	default:
		e.buf = append(e.buf, ',')
	}
	// An item's schema has the name "member", and no field of SQS has that name.
	if name := s.MemberName(); name != "" && name != "member" {
		e.buf = append(e.buf, '"')
		e.buf = append(e.buf, name...)
		e.buf = append(e.buf, '"', ':')
	}
}

func (e *encoder) Bytes() []byte { return e.buf }

func (e *encoder) WriteInt8(s *smithy.Schema, v int8) { e.WriteInt64(s, int64(v)) }

func (e *encoder) WriteInt16(s *smithy.Schema, v int16) { e.WriteInt64(s, int64(v)) }

func (e *encoder) WriteInt32(s *smithy.Schema, v int32) { e.WriteInt64(s, int64(v)) }

func (e *encoder) WriteInt64(s *smithy.Schema, v int64) {
	e.next(s)
	e.buf = strconv.AppendInt(e.buf, v, 10)
}

func (e *encoder) WriteBool(s *smithy.Schema, v bool) {
	e.next(s)
	e.buf = strconv.AppendBool(e.buf, v)
}

func (e *encoder) WriteString(s *smithy.Schema, v string) {
	e.next(s)
	e.buf = appendString(e.buf, v)
}

func (e *encoder) WriteBlob(s *smithy.Schema, v []byte) {
	e.next(s)
	if v == nil {
		e.buf = append(e.buf, "null"...)
		return
	}
	e.buf = append(e.buf, '"')
	e.buf = base64.StdEncoding.AppendEncode(e.buf, v)
	e.buf = append(e.buf, '"')
}

func (e *encoder) WriteNil(s *smithy.Schema) {
	e.next(s)
	e.buf = append(e.buf, "null"...)
}

func (e *encoder) open(s *smithy.Schema, c byte) {
	e.next(s)
	e.buf = append(e.buf, c)
}

func (e *encoder) WriteStruct(s *smithy.Schema) { e.open(s, '{') }

func (e *encoder) CloseStruct() { e.buf = append(e.buf, '}') }

func (e *encoder) WriteList(s *smithy.Schema) { e.open(s, '[') }

func (e *encoder) CloseList() { e.buf = append(e.buf, ']') }

func (e *encoder) WriteMap(s *smithy.Schema) { e.open(s, '{') }

func (e *encoder) WriteKey(_ *smithy.Schema, key string) {
	if e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	e.buf = appendString(e.buf, key)
	e.buf = append(e.buf, ':')
}

func (e *encoder) CloseMap() { e.buf = append(e.buf, '}') }

// No operation of SQS has the following types.

func (e *encoder) WriteFloat32(*smithy.Schema, float32) { e.unknown = true }

func (e *encoder) WriteFloat64(*smithy.Schema, float64) { e.unknown = true }

func (e *encoder) WriteBigInt(*smithy.Schema, *big.Int) { e.unknown = true }

func (e *encoder) WriteBigFloat(*smithy.Schema, *big.Float) { e.unknown = true }

func (e *encoder) WriteTime(*smithy.Schema, time.Time) { e.unknown = true }

func (e *encoder) WriteUnion(_, _ *smithy.Schema) { e.unknown = true }

func (e *encoder) CloseUnion() { e.unknown = true }

func (e *encoder) WriteDocument(*smithy.Schema, document.Value) { e.unknown = true }

// appendString appends s as a JSON string. A byte that is not UTF-8 becomes U+FFFD, as
// in the SDK.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if isPlain(s) {
		b = append(b, s...)
		return append(b, '"')
	}
	begin := 0 // of the part that needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[begin:i]...)
		b = appendEscape(b, c)
		i++
		begin = i
	}
	b = append(b, s[begin:]...)
	return append(b, '"')
}

// isPlain reports whether s is ASCII that needs no escape.
func isPlain(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		eight := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56 // one load
		if special(eight) || eight&0x8080808080808080 != 0 {
			return false
		}
	}
	for i := range len(s) {
		if !plain[s[i]] {
			return false
		}
	}
	return true
}

// appendEscape appends the escape of a byte: a quote, a backslash, a control
// character, or a part of no character.
func appendEscape(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	if c >= utf8.RuneSelf {
		return append(b, `\ufffd`...)
	}
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// plain are the bytes that a JSON string may contain as they are, of ASCII.
var plain = func() (p [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		p[c] = c != '"' && c != '\\'
	}
	return p
}()
