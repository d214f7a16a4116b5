// Package producertest helps to test code that sends messages. A [Sink] is a queue that
// keeps the messages that are sent to it; [RequireSent], [RequireManySent] and
// [RequireNothingSent] check them.
//
//	sink := &producertest.Sink{}
//	p, err := producer.New(sink, nil)
//	…
//	greet(ctx, p) // the code under test
//	sent := producertest.RequireSent[string](t, sink)
//
// A type with a method Kind, such as a job of package job, selects the messages of its kind.
// With any other type, all messages must be of it.
package producertest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Sink is a [drivers.Sink] that keeps what is sent. The zero Sink is ready. Its methods
// may be called concurrently, its fields must not be changed once it is used. It takes
// delays of any length, and has no limits but those of Limits.
type Sink struct {
	// Codec decodes messages for RequireSent and RequireManySent. Nil means
	// [handler.JSON].
	Codec handler.Codec

	// Limits are the capabilities that the sink reports. Nil means a queue named "test"
	// without limits.
	Limits *drivers.Capabilities

	mu     sync.Mutex
	sent   []*handler.Message
	err    error
	closed bool
}

var _ drivers.Sink = (*Sink)(nil)

// Send implements [drivers.Sink]. It numbers the messages from "1" on.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case s.closed:
		err = &drivers.Error{Code: drivers.Closed, Queue: "test", Op: "send", Err: errors.New("the sink is closed")}
	}
	if err != nil {
		return slices.Repeat([]error{err}, len(ms))
	}
	for _, m := range ms {
		m.ID = strconv.Itoa(len(s.sent) + 1)
		s.sent = append(s.sent, clone(m))
	}
	return nil
}

// Capabilities implements [drivers.Sink].
func (s *Sink) Capabilities() drivers.Capabilities {
	if s.Limits != nil {
		return *s.Limits
	}
	return drivers.Capabilities{Queue: "test", System: "producertest", MaxSend: 10, MaxSendDelay: 1<<63 - 1}
}

// Close implements [drivers.Sink]. It keeps the messages that were sent.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Fail has every message refused with err, until it is called with nil.
func (s *Sink) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Sent returns copies of the messages that were sent, in their order.
func (s *Sink) Sent() []*handler.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := make([]*handler.Message, len(s.sent))
	for i, m := range s.sent {
		ms[i] = clone(m)
	}
	return ms
}

// Reset forgets what was sent.
func (s *Sink) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = nil
}

func clone(m *handler.Message) *handler.Message {
	c := *m
	c.Body = slices.Clone(m.Body)
	c.Attributes = maps.Clone(m.Attributes)
	return &c
}
