package producer_test

import (
	"context"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// sink is a drivers.Sink in memory that records what it is sent.
type sink struct {
	caps    drivers.Capabilities
	latency time.Duration
	// refuse can fail a message, at the n-th time (from 1) that its body is
	// sent.
	refuse func(body string, n int) error

	mu      sync.Mutex
	batches [][]string // bodies
	times   []time.Time
	taken   []string // bodies, in the order of the provider's taking them
	tries   map[string]int
	flying  int
	most    int // concurrent requests
	closed  int
	stored  []handler.Message
}

func newSink() *sink {
	return &sink{
		caps: drivers.Capabilities{
			Queue: "orders", System: "test", MaxReceive: 10, MaxSettle: 10, MaxExtend: 10, MaxSend: 10, MaxSendGroup: 10,
			MaxMessageBytes: 1000, MaxBatchBytes: 1000, MaxAttributes: 2, MaxSendDelay: 15 * time.Minute,
		},
		latency: time.Millisecond,
		tries:   make(map[string]int),
	}
}

func (s *sink) Send(ctx context.Context, ms []*handler.Message) []error {
	s.mu.Lock()
	s.flying++
	s.most = max(s.most, s.flying)
	bodies := make([]string, len(ms))
	for i, m := range ms {
		bodies[i] = string(m.Body)
	}
	s.batches = append(s.batches, bodies)
	s.times = append(s.times, time.Now())
	s.mu.Unlock()
	t := time.NewTimer(s.latency)
	defer t.Stop()
	var ended error
	select {
	case <-t.C:
	case <-ctx.Done():
		ended = ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	errs := make([]error, len(ms))
	failed := map[string]bool{}
	for i, m := range ms {
		body := bodies[i]
		if s.caps.Ordered && failed[m.Group] {
			errs[i] = &drivers.Error{Code: drivers.Transient, Queue: "orders", Op: "send", Err: fmt.Errorf("held back")}
			continue
		}
		s.tries[body]++
		err := ended
		if s.refuse != nil && err == nil {
			err = s.refuse(body, s.tries[body])
		}
		if err != nil {
			errs[i] = err
			failed[m.Group] = m.Group != ""
			continue
		}
		m.ID = "id-" + body
		s.taken = append(s.taken, body)
		s.stored = append(s.stored, *m)
	}
	return errs
}

func (s *sink) Capabilities() drivers.Capabilities { return s.caps }

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// requests counts the requests.
func (s *sink) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

func message(body string) *handler.Message { return &handler.Message{Body: []byte(body)} }

func grouped(body, group string) *handler.Message {
	return &handler.Message{Body: []byte(body), Group: group}
}

// pass lets time pass in the bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
