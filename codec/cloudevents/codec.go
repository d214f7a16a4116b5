package cloudevents

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sluice-go/sluice/handler"
)

// Mode is how an event is written into a message. The zero Mode is [Auto].
type Mode uint8

// The modes.
const (
	// Auto is Binary where the event fits into attributes that every provider
	// carries (see [MaxAttributes] and [MaxValueBytes]), and Structured
	// otherwise.
	Auto Mode = iota
	// Structured has the whole event in the body.
	Structured
	// Binary has the event's data in the body and the rest in attributes. An
	// event with more attributes than [MaxAttributes] allows is refused.
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
	// MaxAttributes is how many attributes a message may have in binary mode,
	// its own and the event's together: as many as SQS carries.
	MaxAttributes = 10
	// MaxValueBytes is the longest value with which Auto chooses binary mode:
	// what Pub/Sub carries.
	MaxValueBytes = 1024
)

// ErrBatch is in the error of a message in batched mode, which has several
// events: they would share one verdict, and one that failed would have the
// others handled again. Their sender must send them one by one.
var ErrBatch = errors.New("batched mode is not taken: one verdict cannot be on several events")

// ErrNoEvent is in the error of a message that has no CloudEvent in it.
var ErrNoEvent = errors.New("the message has no CloudEvent: neither a Content-Type of application/cloudevents+json nor an attribute ce-specversion")

// Codec returns the codec that writes events in the given mode and reads them in
// either. It takes an event.Event or a pointer to one, which must be valid, and
// gives it to a *event.Event or a **event.Event. Decode leaves the message as it
// is; a decoded event's data is the message's body in binary mode, and not to be
// changed. Encode replaces what an earlier event left in the message.
func Codec(mode Mode) handler.Codec { return codec{mode} }

type codec struct{ mode Mode }

func (c codec) Encode(m *handler.Message, v any) error {
	var e event.Event
	switch v := v.(type) {
	case event.Event:
		e = v
	case *event.Event:
		if v == nil {
			return errors.New("the CloudEvents codec takes an event, not nil")
		}
		e = *v
	default:
		return fmt.Errorf("the CloudEvents codec takes an event.Event, not %T", v)
	}
	return encode(m, e, c.mode)
}

func (c codec) Decode(m *handler.Message, v any) error {
	switch v := v.(type) {
	case *event.Event:
		if v == nil {
			return errors.New("the CloudEvents codec gives an event to a pointer that is not nil")
		}
		e, err := decode(m)
		if err != nil {
			return err
		}
		*v = *e
	case **event.Event:
		if v == nil {
			return errors.New("the CloudEvents codec gives an event to a pointer that is not nil")
		}
		e, err := decode(m)
		if err != nil {
			return err
		}
		*v = e
	default:
		return fmt.Errorf("the CloudEvents codec gives an event.Event, not %T", v)
	}
	return nil
}

// Typed returns a handler that decodes each message's event, and the event's data
// by its datacontenttype (JSON, XML or text; JSON where there is none), and hands
// h both. What cannot be decoded, and an event without data, is rejected; a
// handler of events without data is a handler.Typed with [Codec]. If h is nil, the
// result is a handler that handler.Check refuses.
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
