package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// A Codec turns values into messages and back. Its methods may be called
// concurrently.
type Codec interface {
	// Encode writes v into the message's body, and attributes if the format
	// has some there.
	Encode(m *Message, v any) error
	// Decode reads the message into v, a non-nil pointer.
	Decode(m *Message, v any) error
}

// JSON is the [Codec] of encoding/json. It decodes null only into a type that
// can be nil (a pointer, map, slice or interface) and returns an error for any
// other, which encoding/json leaves at its zero value: an order that is missing
// is not an order of nothing.
var JSON Codec = jsonCodec{}

// Raw is the [Codec] that copies the body unchanged, to and from a []byte or a
// string.
var Raw Codec = rawCodec{}

// Typed returns a handler that decodes each message with codec and hands h the
// value. A nil codec is [JSON]. A message that cannot be decoded is rejected
// with the decoding error: another attempt would find the same bytes. If h is nil,
// the result is a handler that [Check] refuses.
func Typed[T any](codec Codec, h func(ctx context.Context, m *Message, v T) error) Handler {
	if codec == nil {
		codec = JSON
	}
	if h == nil {
		return &refusal{errors.New("typed handler: the function is nil")}
	}
	return HandlerFunc(func(ctx context.Context, m *Message) error {
		var v T
		if err := codec.Decode(m, &v); err != nil {
			return Reject(fmt.Errorf("decode message %q: %w", m.ID, err))
		}
		return h(ctx, m, v)
	})
}

type jsonCodec struct{}

func (jsonCodec) Encode(m *Message, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	m.Body = body
	return nil
}

func (jsonCodec) Decode(m *Message, v any) error {
	if string(bytes.TrimSpace(m.Body)) == "null" {
		if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Pointer && !nilable(t.Elem().Kind()) {
			return fmt.Errorf("the body is JSON null, but %v cannot be nil", t.Elem())
		}
	}
	return json.Unmarshal(m.Body, v)
}

func nilable(k reflect.Kind) bool {
	return k == reflect.Pointer || k == reflect.Map || k == reflect.Slice || k == reflect.Interface
}

type rawCodec struct{}

func (rawCodec) Encode(m *Message, v any) error {
	switch v := v.(type) {
	case []byte:
		m.Body = v
	case string:
		m.Body = []byte(v)
	default:
		return fmt.Errorf("the raw codec encodes []byte or string, not %T", v)
	}
	return nil
}

func (rawCodec) Decode(m *Message, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = m.Body
	case *string:
		*v = string(m.Body)
	default:
		return fmt.Errorf("the raw codec decodes into []byte or string, not %T", v)
	}
	return nil
}
