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

// AttributeUUID is the attribute that a message's UUID travels in, since a queue
// gives its own ID. It has the name that Watermill's own publishers use.
const AttributeUUID = "_watermill_message_uuid"

// ErrPublisherClosed is the error of publishing after Close.
var ErrPublisherClosed = errors.New("watermill: the publisher is closed")

// PublisherConfig configures a [Publisher].
type PublisherConfig struct {
	// Prepare sets what Watermill's message has no field for (group, dedupe ID,
	// delay) before it is sent. An error of its stops the publishing. Nil sets
	// nothing.
	Prepare func(topic string, from *message.Message, to *handler.Message) error
}

// A Publisher is Watermill's message.Publisher over Sluice's queues. It opens a
// topic's sink at the first message for it. Its methods may be called
// concurrently.
type Publisher struct {
	open func(ctx context.Context, topic string) (drivers.Sink, error)
	cfg  PublisherConfig

	mu     sync.Mutex
	closed bool
	sinks  map[string]drivers.Sink
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher whose topics are what open opens; it closes
// them. A nil config is the defaults.
func NewPublisher(open func(ctx context.Context, topic string) (drivers.Sink, error), cfg *PublisherConfig) (*Publisher, error) {
	if open == nil {
		return nil, errors.New("watermill: there is no function that opens a topic's sink")
	}
	p := &Publisher{open: open, sinks: map[string]drivers.Sink{}}
	if cfg != nil {
		p.cfg = *cfg
	}
	return p, nil
}

// Publish sends the messages in order, in batches as large as the queue takes,
// under the context of each batch's first. It returns when the queue has them
// all, or with the errors of the first batch of which one was not sent: what came
// before has been sent, and what comes after has not.
func (p *Publisher) Publish(topic string, wms ...*message.Message) error {
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
			ms[i].SetAttribute(AttributeUUID, wm.UUID)
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

// sink returns the topic's sink, opening it where there is none yet.
func (p *Publisher) sink(ctx context.Context, topic string) (drivers.Sink, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrPublisherClosed
	}
	if s, ok := p.sinks[topic]; ok {
		return s, nil
	}
	s, err := p.open(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("watermill: open %s: %w", topic, err)
	}
	p.sinks[topic] = s
	return s, nil
}

// Close closes the topics' sinks. A second call does nothing.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.sinks {
		errs = append(errs, s.Close())
	}
	p.closed, p.sinks = true, nil
	return errors.Join(errs...)
}
