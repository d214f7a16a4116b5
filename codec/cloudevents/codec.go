package cloudevents

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sluice-go/sluice/handler"
)

// A Mode is the way an event is encoded in a message. The zero Mode is [Auto].
type Mode uint8

// The modes.
const (
	// Auto is Binary if the event fits into attributes that every provider carries
	// (at most 10, including the message's own, of at most 1024 bytes), and
	// Structured otherwise.
	Auto Mode = iota
	// Structured encodes the whole event in the body.
	Structured
	// Binary encodes the event's data in the body and the rest in attributes. Encode
	// fails if the message would have more than 10.
	Binary
)

// String returns "auto", "structured" or "binary".
func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case Structured:
		return "structured"
	case Binary:
		return "binary"
	default:
		return fmt.Sprintf("mode(%d)", uint8(m))
	}
}

// The limits of binary mode.
const (
	// maxAttributes is the number of attributes that SQS carries. In binary mode it
	// bounds the message's own and the event's together.
	maxAttributes = 10
	// maxValueBytes is the length of the longest value that Pub/Sub carries. Auto
	// does not choose binary mode for longer ones.
	maxValueBytes = 1024
)

// errBatch is the error of a message in batched mode. Its events would share one
// verdict, so a failed event would repeat the others. The sender must send them one by
// one.
var errBatch = errors.New("batched mode is not supported: one verdict can't apply to several events")

// errNoEvent is the error of a message without a CloudEvent.
var errNoEvent = errors.New("the message has no CloudEvent: neither a Content-Type of application/cloudevents+json nor an attribute ce-specversion")

// Codec returns a codec that encodes events in the given mode and decodes them in
// either. It encodes a valid event.Event or a pointer to one, and decodes into a
// *event.Event or a **event.Event. Decode does not change the message; in binary mode a
// decoded event's data is the message's body and must not be changed. Encode replaces
// the attributes that an earlier event left in the message.
func Codec(mode Mode) handler.Codec { return codec{mode} }

type codec struct{ mode Mode }

func (c codec) Encode(m *handler.Message, v any) error {
	var e event.Event
	switch v := v.(type) {
	case event.Event:
		e = v
	case *event.Event:
		if v == nil {
			return errors.New("the CloudEvents codec encodes an event.Event, not nil")
		}
		e = *v
	default:
		return fmt.Errorf("the CloudEvents codec encodes an event.Event, not %T", v)
	}
	return encode(m, e, c.mode)
}

func (c codec) Decode(m *handler.Message, v any) error {
	switch v := v.(type) {
	case *event.Event:
		if v == nil {
			return errors.New("the CloudEvents codec cannot decode into a nil pointer")
		}
		e, err := decode(m)
		if err != nil {
			return err
		}
		*v = *e
	case **event.Event:
		if v == nil {
			return errors.New("the CloudEvents codec cannot decode into a nil pointer")
		}
		e, err := decode(m)
		if err != nil {
			return err
		}
		*v = e
	default:
		return fmt.Errorf("the CloudEvents codec decodes into an event.Event, not %T", v)
	}
	return nil
}

// Typed returns a handler that decodes each message's event, decodes the event's data
// by its datacontenttype (JSON, XML or text; JSON if it is empty), and calls h with
// both. It rejects a message that can't be decoded, and an event without data: for
// those use handler.Typed with [Codec]. If h is nil, handler.Check refuses the
// result.
func Typed[T any](h func(ctx context.Context, e event.Event, data T) error) handler.Handler {
	if h == nil {
		return handler.HandlerFunc(nil)
	}
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		e, err := decode(m)
		if err != nil {
			return handler.Reject(fmt.Errorf("decode message %q: %w", m.ID, err))
		}
		if len(e.Data()) == 0 {
			return handler.Reject(fmt.Errorf("decode message %q: the event %q of type %q has no data", m.ID, e.ID(), e.Type()))
		}
		var v T
		err = e.DataAs(&v)
		if string(bytes.TrimSpace(e.Data())) == "null" && e.DataMediaType() != event.TextPlain {
			err = handler.JSON.Decode(&handler.Message{Body: e.Data()}, &v)
		}
		if err != nil {
			return handler.Reject(fmt.Errorf("decode message %q: data of the event %q of type %q: %w", m.ID, e.ID(), e.Type(), err))
		}
		return h(ctx, *e, v)
	})
}
