// Package protobuf is the codec for Protocol Buffers: with handler.Typed, a handler
// receives its message's body as a generated message. It is separate from package
// handler, which depends on the standard library only.
//
//	h := handler.Typed(protobuf.Codec{}, func(ctx context.Context, m *handler.Message, o *wrapperspb.StringValue) error {
//		…
//	})
package protobuf

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/handler"
)

// Codec is the [handler.Codec] of the binary wire format. The zero Codec is ready to
// use. It is safe for concurrent use.
type Codec struct {
	// Deterministic makes one version of a program encode equal messages to equal
	// bytes, at some cost.
	Deterministic bool
	// DiscardUnknown drops fields that are unknown to the message's type. False keeps
	// them, so that a message that is encoded again still has them.
	DiscardUnknown bool
}

var _ handler.Codec = Codec{}

// Encode sets the body to the encoding of v, which must be a proto.Message.
func (c Codec) Encode(m *handler.Message, v any) error {
	pm, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("the protobuf codec encodes a proto.Message, not %T", v)
	}
	body, err := proto.MarshalOptions{Deterministic: c.Deterministic}.Marshal(pm)
	if err != nil {
		return err
	}
	m.Body = body
	return nil
}

// Decode decodes the body into v, which must be a proto.Message or, as handler.Typed
// passes it, a pointer to a pointer to a generated message, which it allocates if the
// pointer is nil.
func (c Codec) Decode(m *handler.Message, v any) error {
	options := proto.UnmarshalOptions{DiscardUnknown: c.DiscardUnknown}
	if pm, ok := v.(proto.Message); ok {
		return options.Unmarshal(m.Body, pm)
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Pointer {
		return fmt.Errorf("the protobuf codec decodes into a proto.Message, not %T", v)
	}
	if p.Elem().IsNil() {
		p.Elem().Set(reflect.New(p.Elem().Type().Elem()))
	}
	pm, ok := p.Elem().Interface().(proto.Message)
	if !ok {
		return fmt.Errorf("the protobuf codec decodes into a proto.Message, not %T", v)
	}
	return options.Unmarshal(m.Body, pm)
}
