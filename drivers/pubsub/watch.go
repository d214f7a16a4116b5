package pubsub

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/reread"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// rereadEvery is about how often the subscription is read again, and rereadSoon
	// the shortest time between two readings after an error.
	rereadEvery = 2 * time.Minute
	rereadSoon  = 10 * time.Second
	// rereadEmulated is rereadEvery at an emulator, which has no quota.
	rereadEmulated = 2 * time.Second
	// rereadTime bounds the request, for which one receive waits.
	rereadTime = 5 * time.Second
)

// config is what a source follows of its subscription. It is never changed.
type config struct {
	topic    name          // zero if it was deleted
	native   time.Duration // the subscription's own lease
	dead     name          // the dead-letter topic; zero if there is none
	attempts int           // of the dead-letter policy; zero if there is none
	ordered  bool
	fault    error
}

// same reports whether c and d are equal.
func (c *config) same(d *config) bool {
	a, b := *c, *d
	a.fault, b.fault = nil, nil
	return a == b && invoke.Text(c.fault) == invoke.Text(d.fault)
}

// watch is when a subscription is read again. [Source.Current] is the result. That of
// a push subscription does not begin.
type watch struct {
	reread.Schedule
	options SourceOptions
	now     atomic.Pointer[config]
}

// begin sets what was read as the source is opened.
func (w *watch) begin(now *config, emulated bool) {
	w.now.Store(now)
	every := rereadEvery
	if emulated {
		every = rereadEmulated
	}
	w.Begin(every, rereadSoon, every/2)
}

// patrol reads the subscription again whenever it is time to, while a receive
// waits. end returns when none of that goes on.
func (s *Source) patrol(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var (
		mu    sync.Mutex // held while the subscription is read
		over  bool
		timer *time.Timer
	)
	mu.Lock()
	timer = time.AfterFunc(s.watch.Left(), func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		s.reread(ctx)
		timer.Reset(max(s.watch.Left(), time.Second))
	})
	mu.Unlock()
	return func() {
		timer.Stop()
		cancel()
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}

// current is what is known of the subscription.
func (s *Source) current() *config {
	if c := s.watch.now.Load(); c != nil {
		return c
	}
	return &config{} // a push subscription that was not opened
}

// Current implements [drivers.Watcher].
func (s *Source) Current() drivers.Current {
	c := s.current()
	return drivers.Current{DeadLetterQueue: c.dead.id, MaxAttempts: c.attempts, Fault: c.fault}
}

// read makes a config of the subscription.
func (s *Source) read(p *pubsubpb.Subscription) (*config, error) {
	c := &config{native: time.Duration(p.AckDeadlineSeconds) * time.Second, ordered: p.EnableMessageOrdering}
	if c.native == 0 {
		c.native = defaultDeadline
	}
	var err error
	if p.Topic == deletedTopic {
		c.fault = &drivers.Error{Code: drivers.NotFound, Queue: s.sub.String(), Op: "receive", Err: errTopicGone,
			Remedy: "messages of a topic that was made again with its name do not come here: delete the subscription and run sluice apply"}
	} else if c.topic, err = parseName(p.Topic); err != nil {
		return nil, invalid(s.sub, "open", err)
	}
	policy := p.GetDeadLetterPolicy()
	if c.dead, err = s.findDeadLetter(policy); err != nil {
		return nil, err
	}
	if policy != nil && policy.DeadLetterTopic != deletedTopic {
		c.attempts = defaultMaxAttempts
		if policy.MaxDeliveryAttempts > 0 {
			c.attempts = int(policy.MaxDeliveryAttempts)
		}
	}
	return c, nil
}

// reread reads the subscription again if it is time to, follows what has changed,
// and logs it. If that fails, the configuration stays as it was: the receive reports why.
func (s *Source) reread(ctx context.Context) {
	if !s.watch.Due() {
		return
	}
	rctx, cancel := context.WithTimeout(ctx, rereadTime)
	defer cancel()
	p, err := s.c.subscriptions.GetSubscription(rctx, &pubsubpb.GetSubscriptionRequest{Subscription: s.sub.String()}, once)
	if err != nil {
		s.watch.Doubt()
		return
	}
	now, err := s.read(p)
	if err != nil {
		return
	}
	if err := pullable(p); err != nil {
		now.fault = invalid(s.sub, "receive", err)
	} else if now.fault == nil && now.ordered && !s.caps.Ordered {
		now.fault = invalid(s.sub, "receive", errors.New("the subscription was made anew, and keeps order now: restart the consumer, which does not"))
	}
	was := s.watch.now.Swap(now)
	if was.same(now) {
		return
	}
	if was.dead != now.dead && s.watch.options.DeadLetterSubscription == "" {
		s.deadMu.Lock()
		s.deadSub = name{}
		s.deadMu.Unlock()
	}
	log := invoke.Logger(s.watch.options.Logger)
	switch {
	case now.fault != nil && invoke.Text(was.fault) != invoke.Text(now.fault):
		log.ErrorContext(ctx, "the subscription was changed, and can't be worked on as it is", "queue", s.sub.String(), "error", now.fault)
	case now.fault == nil && was.fault != nil:
		log.InfoContext(ctx, "the subscription can be worked on again", "queue", s.sub.String())
	}
	if was.dead != now.dead || was.attempts != now.attempts || was.native != now.native || was.topic != now.topic && !now.topic.zero() {
		log.InfoContext(ctx, "the subscription was changed: the consumer follows", "queue", s.sub.String(), "topic", now.topic.id,
			"ack_deadline", now.native, "dead_letter", now.dead.id, "max_attempts", now.attempts)
	}
}
