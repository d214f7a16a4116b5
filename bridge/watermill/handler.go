package watermill

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sluice-go/sluice/handler"
)

// ErrNacked is the error of a message whose handler nacked it and returned nil.
var ErrNacked = errors.New("the watermill handler nacked the message")

// NewHandler returns a handler that runs h.
func NewHandler(h message.NoPublishHandlerFunc) (handler.Handler, error) {
	if h == nil {
		return nil, errors.New("watermill: the handler is nil")
	}
	return adapt(func(m *message.Message) ([]*message.Message, error) { return nil, h(m) }, nil), nil
}

// NewPublishingHandler returns a handler that runs h and publishes the messages that it
// returns to the topic. The caller must close the publisher.
func NewPublishingHandler(h message.HandlerFunc, topic string, p message.Publisher) (handler.Handler, error) {
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

// Chain wraps h in Watermill's middleware, the first outermost, like its router.
func Chain(h message.HandlerFunc, ms ...message.HandlerMiddleware) message.HandlerFunc {
	for i := len(ms) - 1; i >= 0; i-- {
		h = ms[i](h)
	}
	return h
}

func adapt(h message.HandlerFunc, publish func([]*message.Message) error) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		wm := received(ctx, m)
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

// received returns Watermill's form of a message. Its metadata are a copy.
func received(ctx context.Context, m *handler.Message) *message.Message {
	wm := message.NewMessageWithContext(ctx, m.ID, m.Body)
	maps.Copy(wm.Metadata, m.Attributes)
	if uuid := wm.Metadata[uuidAttribute]; uuid != "" {
		wm.UUID = uuid
		delete(wm.Metadata, uuidAttribute)
	}
	return wm
}
