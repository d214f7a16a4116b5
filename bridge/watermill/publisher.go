package watermill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// uuidAttribute carries a message's UUID, since a queue
// assigns its own ID. Watermill's own publishers use the same name.
const uuidAttribute = "_watermill_message_uuid"

// ErrClosed is the error of publishing or subscribing after Close.
var ErrClosed = errors.New("watermill: the publisher or subscriber is closed")

// PublisherConfig configures [NewPublisher]. The zero PublisherConfig selects the
// defaults.
type PublisherConfig struct {
	// Prepare sets the fields that Watermill's message lacks (group, dedupe ID,
	// delay) before a message is sent. Publish returns its error and stops. Nil
	// sets nothing. It may be called concurrently.
	Prepare func(topic string, from *message.Message, to *handler.Message) error
}

// A publisher sends to the sinks of topics.
type publisher struct {
	open func(ctx context.Context, topic string) (drivers.Sink, error)
	cfg  PublisherConfig

	mu      sync.Mutex // never held while open, or a sink, is called
	closed  bool
	sinks   map[string]drivers.Sink
	opening map[string]chan struct{} // by topic; closed when the opening ends
}

// NewPublisher returns a Watermill publisher over Sluice's queues. It opens a topic's
// sink with open, when the first message for the topic comes. A nil cfg selects the
// defaults. Its methods may be called concurrently.
//
// Publish sends the messages in order, in batches as large as the queue takes, each
// under the context of its first message. It returns nil once the queue has taken all
// of them. If a message fails, Publish returns the errors of its batch; the batches
// before have been sent and those after it have not.
//
// Close closes the topics' sinks. It does not wait for a sink that is being opened,
// which is closed as soon as it is open. A second call does nothing. Publish returns
// [ErrClosed] from then on.
func NewPublisher(open func(ctx context.Context, topic string) (drivers.Sink, error), cfg *PublisherConfig) (message.Publisher, error) {
	if open == nil {
		return nil, errors.New("watermill: the function that opens a topic's sink is nil")
	}
	p := &publisher{open: open, sinks: map[string]drivers.Sink{}, opening: map[string]chan struct{}{}}
	if cfg != nil {
		p.cfg = *cfg
	}
	return p, nil
}

// Publish implements message.Publisher; see [NewPublisher].
func (p *publisher) Publish(topic string, wms ...*message.Message) error {
	if len(wms) == 0 {
		return nil
	}
	s, err := p.sink(wms[0].Context(), topic)
	if err != nil {
		return err
	}
	ms := make([]*handler.Message, len(wms))
	for i, wm := range wms {
		ms[i] = &handler.Message{Body: wm.Payload, Attributes: maps.Clone(map[string]string(wm.Metadata))}
		if wm.UUID != "" {
			ms[i].SetAttribute(uuidAttribute, wm.UUID)
		}
		if p.cfg.Prepare != nil {
			if err := p.cfg.Prepare(topic, wm, ms[i]); err != nil {
				return fmt.Errorf("watermill: prepare a message for %s: %w", topic, err)
			}
		}
	}
	sent := 0
	for batch := range slices.Chunk(ms, max(s.Capabilities().MaxSend, 1)) {
		if err := errors.Join(s.Send(wms[sent].Context(), batch)...); err != nil {
			return fmt.Errorf("watermill: publish to %s: %w", topic, err)
		}
		sent += len(batch)
	}
	return nil
}

// sink returns the topic's sink, opening it if necessary. One caller opens it while
// the others wait.
func (p *publisher) sink(ctx context.Context, topic string) (drivers.Sink, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrClosed
		}
		if s, ok := p.sinks[topic]; ok {
			p.mu.Unlock()
			return s, nil
		}
		other, is := p.opening[topic]
		if !is {
			p.opening[topic] = make(chan struct{})
		}
		p.mu.Unlock()
		if !is {
			return p.openSink(ctx, topic)
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("watermill: open %s: %w", topic, ctx.Err())
		}
	}
}

// openSink opens the topic's sink, and closes it again if the publisher was closed
// meanwhile. If open panics, each waiting caller tries again.
func (p *publisher) openSink(ctx context.Context, topic string) (s drivers.Sink, err error) {
	opened := false
	defer func() {
		p.mu.Lock()
		close(p.opening[topic])
		delete(p.opening, topic)
		late := opened && p.closed
		if opened && !late {
			p.sinks[topic] = s
		}
		p.mu.Unlock()
		if late {
			s, err = nil, errors.Join(ErrClosed, s.Close())
		}
	}()
	if s, err = p.open(ctx, topic); err != nil {
		return nil, fmt.Errorf("watermill: open %s: %w", topic, err)
	}
	opened = true
	return s, nil
}

// Close implements message.Publisher; see [NewPublisher].
func (p *publisher) Close() error {
	p.mu.Lock()
	sinks := p.sinks
	p.closed, p.sinks = true, nil
	p.mu.Unlock()
	var errs []error
	for _, s := range sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
