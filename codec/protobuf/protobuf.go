// Package protobuf is the codec for Protocol Buffers: with handler.Typed it hands
// a handler its message's body as a generated message. It is apart from package
// handler, which depends on nothing.
//
//	h := handler.Typed(protobuf.Codec{}, func(ctx context.Context, m *handler.Message, o *orderpb.Order) error {
//		…
//	})
package protobuf

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/handler"
)

// Codec is the [handler.Codec] of the binary wire format. The zero Codec is ready
// to use, also concurrently.
type Codec struct {
	// Deterministic has equal messages encoded to equal bytes, by one version of
	// this program; it costs some time. False does not care.
	Deterministic bool
	// DiscardUnknown drops fields that the message's type does not know. False
	// keeps them, so that what is sent on has them still.
	DiscardUnknown bool
}

var _ handler.Codec = Codec{}

// Encode writes v, a proto.Message, into the body.
func (c Codec) Encode(m *handler.Message, v any) error {
	pm, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("the protobuf codec takes a proto.Message, not %T", v)
	}
	body, err := proto.MarshalOptions{Deterministic: c.Deterministic}.Marshal(pm)
	if err != nil {
		return err
	}
	m.Body = body
	return nil
}

// Decode reads the body into v: a pointer to a pointer to a generated message,
// which is made where it is nil, as handler.Typed gives it; or a proto.Message.
func (c Codec) Decode(m *handler.Message, v any) error {
	options := proto.UnmarshalOptions{DiscardUnknown: c.DiscardUnknown}
	if pm, ok := v.(proto.Message); ok {
		return options.Unmarshal(m.Body, pm)
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Pointer {
		return fmt.Errorf("the protobuf codec gives a proto.Message, not %T", v)
	}
	if p.Elem().IsNil() {
		p.Elem().Set(reflect.New(p.Elem().Type().Elem()))
	}
	pm, ok := p.Elem().Interface().(proto.Message)
	if !ok {
		return fmt.Errorf("the protobuf codec gives a proto.Message, not %T", v)
	}
	return options.Unmarshal(m.Body, pm)
}
