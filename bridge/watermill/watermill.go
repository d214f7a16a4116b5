// Package watermill runs handlers that were written for Watermill
// (github.com/ThreeDotsLabs/watermill) as handlers of Sluice, middleware and all,
// for those who move one handler at a time.
//
// The payload is the body, metadata are the attributes, and the UUID is the ID, or
// that of [AttributeUUID]. [Publisher] is the way out: Watermill's message.Publisher
// over Sluice's queues.
// A nil error acks, as in Watermill's router; any other is the verdict that
// [handler.VerdictOf] reads, which is a retry by the queue's policy for an error
// of Watermill's kind. What the handler publishes is published before its own
// message is acked: if that fails the message is retried, so that what is
// published may be published twice, and is never lost.
//
// Watermill's Retry and DelayOnError sleep or count in the process, while the
// lease runs down; the backoff middleware takes their place, a rejection that of
// Poison and the idempotency middleware that of Deduplicator. A message that the
// handler nacks itself is retried, though it returns nil. One that it acks itself
// and then fails is retried too: the ack is carried out when the handler has
// returned, and its error is the later word.
package watermill

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sluice-go/sluice/handler"
)

// ErrNacked is the error of a message that its handler nacked and then returned
// nil for.
var ErrNacked = errors.New("the watermill handler nacked the message")

// Consumer returns a handler that runs h.
func Consumer(h message.NoPublishHandlerFunc) (handler.Handler, error) {
	if h == nil {
		return nil, errors.New("watermill: the handler is nil")
	}
	return adapt(func(m *message.Message) ([]*message.Message, error) { return nil, h(m) }, nil), nil
}

// Publishing returns a handler that runs h and publishes what it returns to the
// topic. The publisher is its caller's to close.
func Publishing(h message.HandlerFunc, topic string, p message.Publisher) (handler.Handler, error) {
	var faults []error
	if h == nil {
		faults = append(faults, errors.New("watermill: the handler is nil"))
	}
	if p == nil {
		faults = append(faults, errors.New("watermill: the publisher is nil"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return adapt(h, func(ms []*message.Message) error { return p.Publish(topic, ms...) }), nil
}

// Chain puts Watermill's middleware around h, the first outermost, as its router
// does.
func Chain(h message.HandlerFunc, ms ...message.HandlerMiddleware) message.HandlerFunc {
	for i := len(ms) - 1; i >= 0; i-- {
		h = ms[i](h)
	}
	return h
}

func adapt(h message.HandlerFunc, publish func([]*message.Message) error) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		wm := message.NewMessageWithContext(ctx, m.ID, m.Body)
		maps.Copy(wm.Metadata, m.Attributes)
		if uuid := wm.Metadata[AttributeUUID]; uuid != "" {
			wm.UUID = uuid
			delete(wm.Metadata, AttributeUUID)
		}
		out, err := h(wm)
		if err != nil {
			return err
		}
		select {
		case <-wm.Nacked():
			return ErrNacked
		default:
		}
		if publish != nil && len(out) > 0 {
			if err := publish(out); err != nil {
				return fmt.Errorf("watermill: publish %d messages: %w", len(out), err)
			}
		}
		return nil
	})
}
