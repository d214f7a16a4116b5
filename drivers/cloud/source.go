package cloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// DefaultSystem is the messaging.system of a provider that is not known.
const DefaultSystem = "gocloud"

// closePatience bounds how long closing waits for the provider.
const closePatience = 5 * time.Second

// openPatience bounds how long closing waits for an opening, whose context has ended.
const openPatience = time.Second

// gather is how long a receive that has a message waits for more of those that
// gocloud has fetched already.
const gather = 2 * time.Millisecond

// ask is how long a receive that shall not wait does so all the same: gocloud
// fetches in the background, and would never have anything at once.
const ask = 200 * time.Millisecond

// checkEvery is how long a receive waits between two looks at the connection.
const checkEvery = time.Second

// maxHeld bounds the messages that wait here for their not-before. With so many
// the source asks for no more until one is due.
const maxHeld = 10_000

// SourceConfig says what gocloud does not tell about a subscription.
type SourceConfig struct {
	// Queue is the subscription's name as an operator knows it. Required.
	Queue string
	// System is OpenTelemetry's messaging.system. Empty means "gocloud".
	System string
	// Republish is where a message goes that is to be retried, as a copy that
	// takes its place, with its delay as a not-before and its attempt number: the
	// topic that the subscription is on. The source closes it. Nil leaves
	// retries to the provider: a nack, without delay, or no retry where the
	// provider has no nack.
	Republish *Sink
	// DeadLetter is where rejected messages go. The source closes it. Nil is no
	// dead-letter queue.
	DeadLetter drivers.Sink
	// Stop has the provider send no more, for a gocloud driver that does not end
	// its subscription when it is shut down (NATS). It is called once for each
	// subscription that was opened, before the last messages are taken from it.
	// Nil does nothing.
	Stop func(s *pubsub.Subscription) error
	// Release gives back at once all that was received from a subscription and not
	// settled, as closing its connection does (RabbitMQ). It is called once for
	// each subscription that was opened, after it was shut down. Nil has the source
	// give back each message by itself.
	Release func(s *pubsub.Subscription) error
	// Lost is true where the provider has taken a delivery back, so that settling it
	// could hit another (RabbitMQ, when its channel was closed): it is then not
	// settled, and the lease reported as lost. It is called without waiting for the
	// provider, and concurrently. Nil knows of none.
	Lost func(m *pubsub.Message) bool
	// Check returns why no message can come through the subscription, for a gocloud
	// driver that waits in silence while its connection is away (NATS). It is called
	// every second while nothing comes, and must not wait. Nil trusts gocloud.
	Check func(s *pubsub.Subscription) error
}

// A Source receives from a gocloud subscription. It implements [drivers.Source].
type Source struct {
	open func(ctx context.Context) (*pubsub.Subscription, error)
	c    SourceConfig

	ctx    context.Context // ends with Close; receives that wait end with it
	cancel context.CancelFunc

	mu      sync.Mutex           // never held while the user's code is called
	sub     *pubsub.Subscription // nil after it failed
	opening *opening             // of another sub; nil if there is none
	old     []*pubsub.Subscription
	closed  bool
	next    uint64
	flying  map[string]*flight
	held    []*flight // by not-before, soonest first
}

// An opening of a subscription goes on until the user's function returns, whoever
// waits for it. One that ends after Close shuts the subscription down.
type opening struct {
	done chan struct{} // closed at the end
	err  error         // to be read after that
}

// flight is one delivery of a message.
type flight struct {
	pm  *pubsub.Message
	m   *handler.Message // as it was received; the caller has a copy
	due time.Time
}

var _ drivers.Source = (*Source)(nil)

// NewSource opens a source with open, which it calls again when gocloud's
// subscription has failed for good: one failed ack is enough for that.
func NewSource(ctx context.Context, open func(ctx context.Context) (*pubsub.Subscription, error), c SourceConfig) (*Source, error) {
	if open == nil {
		return nil, errors.New("cloud: there is no function that opens the subscription")
	}
	if c.Queue == "" {
		return nil, errors.New("cloud: SourceConfig.Queue is empty")
	}
	if c.System == "" {
		c.System = DefaultSystem
	}
	s := &Source{open: open, c: c, flying: map[string]*flight{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if _, err := s.subscription(ctx); err != nil {
		s.mu.Lock()
		s.closed = true // an opening that goes on ends with the shutdown of its subscription
		s.mu.Unlock()
		s.cancel()
		return nil, err
	}
	return s, nil
}

// subscription returns the open subscription, opening it if there is none. It returns
// when ctx ends or the source is closed, even if the opening goes on.
func (s *Source) subscription(ctx context.Context) (*pubsub.Subscription, error) {
	for {
		s.mu.Lock()
		switch {
		case s.closed:
			s.mu.Unlock()
			return nil, closed(s.c.Queue, "receive")
		case s.sub != nil:
			defer s.mu.Unlock()
			return s.sub, nil
		}
		o, mine := s.opening, s.opening == nil
		if mine {
			o = &opening{done: make(chan struct{})}
			s.opening = o
			go s.reopen(ctx, o)
		}
		s.mu.Unlock()
		select {
		case <-o.done:
			if o.err != nil && mine && s.ctx.Err() == nil {
				return nil, o.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ctx.Done():
			return nil, closed(s.c.Queue, "receive")
		}
	}
}

// reopen opens a subscription. Its context is ctx and ends with the source.
func (s *Source) reopen(ctx context.Context, o *opening) {
	defer close(o.done)
	var (
		sub *pubsub.Subscription
		err error
	)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	if failed := invoke.DoApart(func() { sub, err = s.open(ctx) }); failed != nil {
		err = failed
	}
	if err != nil {
		o.err = classify(ctx, s.c.Queue, "open", err)
		stop()
		cancel()
	}
	s.mu.Lock()
	s.opening = nil
	late := err == nil && s.closed
	if err == nil && !late {
		s.sub = sub // a provider may keep the context, which so ends with the source
	}
	s.mu.Unlock()
	if !late {
		return
	}
	end, cancelEnd := context.WithTimeout(context.Background(), closePatience)
	defer cancelEnd()
	_ = s.stop(end, sub) // nobody is left to hear of it
	_ = sub.Shutdown(end)
	_ = s.release(end, sub)
}

// Receive implements drivers.Source.
func (s *Source) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	end := time.Now().Add(max(wait, ask))
	var out []drivers.Delivery
	for {
		sub, err := s.subscription(ctx)
		if err != nil {
			return s.give(ctx, out, err)
		}
		now := time.Now()
		due, next, full := s.takeDue(n-len(out), now)
		out = append(out, due...)
		if len(out) >= n {
			return out, nil
		}
		until := end
		if len(out) > 0 {
			until = now.Add(gather)
		} else if !next.IsZero() && next.Before(until) {
			until = next
		}
		if full {
			sub = nil
		}
		if s.c.Check != nil && until.Sub(now) > checkEvery {
			until = now.Add(checkEvery)
		}
		pm, err := s.one(ctx, sub, until)
		switch {
		case err == nil && pm != nil:
			if d, ok := s.take(pm); ok {
				out = append(out, d)
			}
		case ctx.Err() != nil:
			return s.give(ctx, out, ctx.Err())
		case err != nil:
			s.broken(sub)
			return s.give(ctx, out, err)
		case len(out) > 0:
			return out, nil
		default:
			if err := s.check(ctx, sub); err != nil || !time.Now().Before(end) {
				return nil, err
			}
		}
	}
}

// check returns why a receive that brought nothing could bring nothing. It is nil
// if there was nothing.
func (s *Source) check(ctx context.Context, sub *pubsub.Subscription) error {
	if s.c.Check == nil || sub == nil || s.ctx.Err() != nil {
		return nil //nolint:nilerr // the source is closed
	}
	return classify(ctx, s.c.Queue, "receive", call(func() error { return s.c.Check(sub) }))
}

// one waits for a message of sub, or for the time where sub is nil; it returns
// neither message nor error where none came.
func (s *Source) one(ctx context.Context, sub *pubsub.Subscription, until time.Time) (*pubsub.Message, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if sub == nil {
		<-ctx.Done()
		return nil, nil //nolint:nilnil // nothing came, and nothing is wrong
	}
	pm, err := sub.Receive(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, nil //nolint:nilnil // as above: it is the end of the wait
	}
	return pm, classify(ctx, s.c.Queue, "receive", err)
}

// give ends a receive with an error. What it has taken already is given back:
// without a lease nothing else would bring it back.
func (s *Source) give(ctx context.Context, out []drivers.Delivery, err error) ([]drivers.Delivery, error) {
	if len(out) == 0 {
		return nil, err
	}
	if ctx.Err() == nil && drivers.CodeOf(err) != drivers.Closed {
		return out, nil // the next receive finds the error again, or that it is gone
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	for _, d := range out {
		s.mu.Lock()
		f := s.flying[d.Receipt]
		delete(s.flying, d.Receipt)
		s.mu.Unlock()
		if f != nil {
			err = errors.Join(err, s.back(back, f, false, time.Time{}))
		}
	}
	return nil, err
}

// broken drops a subscription that has failed for good. What was received from
// it can still be settled, so that it is shut down with the source only.
func (s *Source) broken(sub *pubsub.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sub == sub && sub != nil {
		s.sub = nil
		s.old = append(s.old, sub)
	}
}

// Capabilities implements drivers.Source.
func (s *Source) Capabilities() drivers.Capabilities {
	c := drivers.Capabilities{
		Queue: s.c.Queue, System: s.c.System,
		MaxReceive: maxBatch, MaxSettle: maxBatch, MaxExtend: maxBatch, MaxSend: maxBatch,
		MaxDelay: -1, MaxSendDelay: -1, MaxExtension: -1,
	}
	if s.c.Republish != nil {
		c.MaxDelay, c.AttemptKnown, c.FreeRelease = 0, true, true
	}
	if s.c.DeadLetter != nil {
		c.DeadLetter, c.DeadLetterQueue = true, s.c.DeadLetter.Capabilities().Queue
	}
	return c
}

// Close implements drivers.Source. What was received and not settled is given
// back, as far as the provider can, because no lease would.
func (s *Source) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	o := s.opening
	s.mu.Unlock()
	s.cancel()
	if o != nil {
		late := time.NewTimer(openPatience)
		defer late.Stop()
		select {
		case <-o.done:
		case <-late.C:
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()

	s.mu.Lock()
	subs := s.old
	live := s.sub
	if live != nil {
		subs = append(subs, live)
	}
	back := s.held
	for _, f := range s.flying {
		back = append(back, f)
	}
	s.flying, s.held, s.sub, s.old = map[string]*flight{}, nil, nil, nil
	s.mu.Unlock()

	var errs []error
	for _, sub := range subs {
		errs = append(errs, s.stop(ctx, sub))
	}
	switch {
	case s.c.Release != nil: // it gives back the messages themselves: no copies
		for _, f := range back {
			if f.pm.Nackable() && !s.lost(f) {
				f.pm.Nack() // gocloud logs each message that was neither acked nor nacked
			}
		}
		back = nil
	case live != nil:
		back = append(back, fetched(ctx, live)...)
	}
	for _, f := range back {
		if s.lost(f) {
			continue
		}
		err := s.back(ctx, f, false, f.due)
		if !invoke.Is(err, drivers.ErrUnsupported) { // what cannot be given back is the provider's to bring back
			errs = append(errs, err)
		}
	}
	for _, sub := range subs {
		if err := sub.Shutdown(ctx); sub == live { // the error of one that failed was reported
			errs = append(errs, classify(ctx, s.c.Queue, "close", err))
		}
		errs = append(errs, s.release(ctx, sub))
	}
	if s.c.Republish != nil {
		errs = append(errs, s.c.Republish.Close())
	}
	if s.c.DeadLetter != nil {
		errs = append(errs, s.c.DeadLetter.Close())
	}
	return errors.Join(errs...)
}

// lost reports whether the provider has taken a delivery back. It calls the
// user's code, and must not be called under s.mu. One that panics does not know: to
// settle the delivery could hit another, so that it counts as lost.
func (s *Source) lost(f *flight) (is bool) {
	if s.c.Lost == nil {
		return false
	}
	return invoke.DoApart(func() { is = s.c.Lost(f.pm) }) != nil || is
}

// stop has the provider send no more to sub.
func (s *Source) stop(ctx context.Context, sub *pubsub.Subscription) error {
	if s.c.Stop == nil {
		return nil
	}
	return within(ctx, func() error { return s.c.Stop(sub) })
}

// release gives back what was received from sub, after its shutdown.
func (s *Source) release(ctx context.Context, sub *pubsub.Subscription) error {
	if s.c.Release == nil {
		return nil
	}
	return classify(ctx, s.c.Queue, "close", within(ctx, func() error { return s.c.Release(sub) }))
}

// within is call, but leaves the hook behind when ctx ends.
func within(ctx context.Context, hook func() error) error {
	done := make(chan error, 1)
	go func() { done <- call(hook) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call calls a hook of the user's. Its panic is its error.
func call(hook func() error) (err error) {
	if failed := invoke.DoApart(func() { err = hook() }); failed != nil {
		return failed
	}
	return err
}

// fetched takes what gocloud has fetched ahead of the receives. Shutting its
// subscription down would drop that: not every driver of gocloud's gives it back.
func fetched(ctx context.Context, sub *pubsub.Subscription) []*flight {
	var fs []*flight
	for {
		one, cancel := context.WithTimeout(ctx, ask)
		pm, err := sub.Receive(one)
		cancel()
		if err != nil {
			return fs
		}
		m, due := unwrap(pm, time.Now())
		fs = append(fs, &flight{pm: pm, m: m, due: due})
	}
}
