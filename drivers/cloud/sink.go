package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// maxBatch is the number of messages that a call of the port takes. gocloud forms
// the provider's batches.
const maxBatch = 100

const (
	// reopenEvery is the shortest time between two openings of a topic that fails.
	reopenEvery = time.Second
	// oldPatience bounds how long a send waits for the end of the topic before.
	oldPatience = time.Second
)

// A Sink sends to a gocloud topic. It implements [drivers.Sink].
type Sink struct {
	c      SinkConfig
	closed atomic.Bool

	mu      sync.Mutex // not held during a request
	topic   *pubsub.Topic
	suspect bool      // a send on topic has failed
	opening bool      // another is being opened
	opened  time.Time // last, whether it went well or not
}

var _ drivers.Sink = (*Sink)(nil)

// NewSink returns a sink that sends to topic. The sink owns the topic.
func NewSink(topic *pubsub.Topic, c SinkConfig) (*Sink, error) {
	c.Provider.System = cmp.Or(c.Provider.System, defaultSystem)
	if err := errors.Join(
		setting.Refuse(topic == nil, "the topic is nil"),
		setting.Refuse(c.Queue == "", "Queue is empty"),
		setting.NotNegative("MaxMessageBytes", c.MaxMessageBytes),
	); err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	return &Sink{topic: topic, c: c}, nil
}

// live returns the topic to send to. It opens a new one if a send has failed;
// concurrent sends use the old one meanwhile.
func (s *Sink) live(ctx context.Context) (*pubsub.Topic, error) {
	s.mu.Lock()
	old := s.topic
	if !s.suspect || s.opening || s.c.Open == nil || s.closed.Load() || time.Since(s.opened) < reopenEvery {
		s.mu.Unlock()
		return old, nil
	}
	s.opening = true
	s.mu.Unlock()
	var (
		topic *pubsub.Topic
		err   error
	)
	if failed := invoke.DoApart(func() { topic, err = s.c.Open(ctx) }); failed != nil {
		err = failed
	}
	s.mu.Lock()
	s.opening, s.opened = false, time.Now()
	useless := old
	switch {
	case err != nil || topic == nil:
		useless = nil
	case topic == old: // the opener has one for all
		useless, s.suspect = nil, false
	case s.closed.Load():
		useless = topic
	default:
		s.topic, s.suspect = topic, false
	}
	s.mu.Unlock()
	if useless != nil {
		// Its senders know already which messages it could not send.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), oldPatience)
		defer cancel()
		_ = useless.Shutdown(end)
	}
	switch {
	case err != nil:
		return nil, classify(ctx, s.c.Queue, "open", err)
	case topic == nil || useless == topic:
		return old, nil
	}
	return topic, nil
}

// note marks the topic as suspect if a send on it has failed for a reason other than
// the message or the end of ctx. A suspect topic is opened again.
func (s *Sink) note(ctx context.Context, t *pubsub.Topic, errs []error) {
	for _, err := range errs {
		if err == nil || ctx.Err() != nil && invoke.Is(err, ctx.Err()) {
			continue
		}
		switch drivers.CodeOf(err) {
		case drivers.Invalid, drivers.Unsupported, drivers.Throttled:
			continue
		}
		s.mu.Lock()
		s.suspect = s.suspect || s.topic == t
		s.mu.Unlock()
		return
	}
}

// Send implements drivers.Sink. It sends the messages concurrently, so that gocloud
// can batch them. A message does not fail because of another.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error {
	ids := make([]string, len(ms))
	pms := make([]*pubsub.Message, len(ms))
	errs := make([]error, len(ms))
	now := time.Now()
	for i, m := range ms {
		ids[i] = newID()
		pms[i], errs[i] = s.wrap(m, ids[i], now)
	}
	s.publish(ctx, pms, errs)
	failed := false
	for i, err := range errs {
		if err == nil {
			ms[i].ID = ids[i]
		}
		failed = failed || err != nil
	}
	if !failed {
		return nil
	}
	return errs
}

func (s *Sink) wrap(m *handler.Message, id string, now time.Time) (*pubsub.Message, error) {
	refuse := func(code drivers.Code, err error) error {
		return &drivers.Error{Code: code, Queue: s.c.Queue, Op: "send", Err: err}
	}
	if m.Delay > 0 {
		return nil, refuse(drivers.Unsupported, fmt.Errorf("the message has a delay of %v, but gocloud's topics cannot delay", m.Delay))
	}
	pm, err := wrap(m, id, now)
	if err != nil {
		return nil, refuse(drivers.Invalid, err)
	}
	if most := s.c.MaxMessageBytes; most > 0 {
		size := len(pm.Body)
		for name, value := range pm.Metadata {
			size += len(name) + len(value)
		}
		if size > most {
			return nil, refuse(drivers.Invalid, fmt.Errorf("the message and its attributes have %d bytes; the limit is %d", size, most))
		}
	}
	return pm, nil
}

// publish sends the messages that have no error yet, and sets their errors.
func (s *Sink) publish(ctx context.Context, pms []*pubsub.Message, errs []error) {
	if s.closed.Load() {
		fill(errs, closed(s.c.Queue, "send"))
		return
	}
	if ctx.Err() != nil {
		fill(errs, ctx.Err())
		return
	}
	topic, err := s.live(ctx)
	if err != nil {
		fill(errs, err)
		return
	}
	defer s.note(ctx, topic, errs)
	var wg sync.WaitGroup
	for i, pm := range pms {
		switch {
		case ctx.Err() != nil:
			errs[i] = ctx.Err()
		case errs[i] == nil:
			if s.c.Provider.Prepare != nil {
				// gocloud calls it on its own goroutine.
				pm.BeforeSend = func(as func(any) bool) error { return call(func() error { return s.c.Provider.Prepare(as) }) }
			}
			wg.Go(func() { errs[i] = classify(ctx, s.c.Queue, "send", topic.Send(ctx, pm)) })
		}
	}
	wg.Wait()
	if s.c.Provider.Flush == nil || len(pms) == 0 {
		return
	}
	if err := call(func() error { return s.c.Provider.Flush(ctx, topic) }); err != nil {
		fill(errs, classify(ctx, s.c.Queue, "send", err))
	}
}

// fill sets all elements that are nil.
func fill(errs []error, err error) {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
}

// Capabilities implements drivers.Sink.
func (s *Sink) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{
		Queue: s.c.Queue, System: s.c.Provider.System,
		MaxReceive: maxBatch, MaxSettle: maxBatch, MaxExtend: maxBatch, MaxSend: maxBatch,
		MaxMessageBytes: s.c.MaxMessageBytes,
	}
}

// Close implements drivers.Sink. It waits up to 5 seconds for running sends.
func (s *Sink) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	s.mu.Lock()
	topic := s.topic
	s.mu.Unlock()
	return classify(ctx, s.c.Queue, "close", topic.Shutdown(ctx))
}
