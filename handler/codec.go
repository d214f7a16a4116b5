package handler

import (
	"context"
	"encoding/json"
	"fmt"
)

// A Codec turns values into messages and back. Its methods may be called
// concurrently.
type Codec interface {
	// Encode writes v into the message's body, and attributes where the format
	// has some there.
	Encode(m *Message, v any) error
	// Decode reads the message into v, a non-nil pointer.
	Decode(m *Message, v any) error
}

// JSON is the [Codec] of encoding/json.
var JSON Codec = jsonCodec{}

// Raw is the [Codec] that takes the body as it is, to and from a []byte or a
// string.
var Raw Codec = rawCodec{}

// Typed returns a handler that decodes each message with codec and hands h the
// value. A nil codec is [JSON]. A message that cannot be decoded is rejected
// with the decoding error: another attempt would find the same bytes.
func Typed[T any](codec Codec, h func(ctx context.Context, m *Message, v T) error) Handler {
	if codec == nil {
		codec = JSON
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

func (jsonCodec) Decode(m *Message, v any) error { return json.Unmarshal(m.Body, v) }

type rawCodec struct{}

func (rawCodec) Encode(m *Message, v any) error {
	switch v := v.(type) {
	case []byte:
		m.Body = v
	case string:
		m.Body = []byte(v)
	default:
		return fmt.Errorf("the raw codec takes []byte or string, not %T", v)
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
		return fmt.Errorf("the raw codec gives []byte or string, not %T", v)
	}
	return nil
}
