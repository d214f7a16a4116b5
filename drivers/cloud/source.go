package cloud

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/letter"
	"github.com/sluice-go/sluice/internal/setting"
)

var (
	errStale   = errors.New("the delivery was already settled, or belongs to another source")
	errTaken   = errors.New("the provider ended the delivery and redelivers the message")
	errNoNack  = errors.New("the provider has no nack and does not redeliver messages")
	errNoDelay = errors.New("gocloud's nack has no delay")
	errNoDLQ   = errors.New("the queue has no dead-letter queue")
	errNoLease = errors.New("gocloud's deliveries have no lease that can be extended")
)

// defaultSystem is the messaging.system of an unknown provider.
const defaultSystem = "gocloud"

// closePatience bounds how long Close waits for the provider.
const closePatience = 5 * time.Second

// openPatience bounds how long Close waits for an opening whose context has ended.
const openPatience = time.Second

// gather is how long a receive that has a message waits for more of those that
// gocloud has already fetched.
const gather = 2 * time.Millisecond

// ask is the shortest wait of a receive, even if its caller asked for none: gocloud
// fetches in the background and never has a message immediately.
const ask = 200 * time.Millisecond

// checkEvery is how long a receive waits between two looks at the connection.
const checkEvery = time.Second

// maxHeld bounds the messages that wait here for their not-before. A source that
// holds as many receives no more until one is due.
const maxHeld = 10_000

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

// Opening a subscription continues until the user's function returns, even if
// nobody waits for it any more. If it ends after Close, it shuts the subscription
// down.
type opening struct {
	done chan struct{} // closed at the end
	err  error         // to be read after that
}

var _ drivers.Source = (*Source)(nil)

// NewSource opens a source with open, which it calls again when gocloud's
// subscription has failed for good, as it does after a single failed ack.
func NewSource(ctx context.Context, open func(ctx context.Context) (*pubsub.Subscription, error), c SourceConfig) (*Source, error) {
	if err := errors.Join(
		setting.Refuse(open == nil, "there is no function that opens the subscription"),
		setting.Refuse(c.Queue == "", "Queue is empty"),
	); err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	c.Provider.System = cmp.Or(c.Provider.System, defaultSystem)
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

// subscription returns the open subscription, opening one if necessary. It returns
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
	_ = s.stop(end, sub) // nobody waits for the error
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
		if s.c.Provider.Check != nil && until.Sub(now) > checkEvery {
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

// Settle implements drivers.Source. gocloud sends acks in the background: a later
// receive reports one that fails.
func (s *Source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	var errs []error
	for i := range ss {
		if err := s.settle(ctx, &ss[i]); err != nil {
			if errs == nil {
				errs = make([]error, len(ss))
			}
			errs[i] = err
		}
	}
	return errs
}

// Extend implements drivers.Source. It returns an error for each item.
func (s *Source) Extend(_ context.Context, es []drivers.Extension) []error {
	if len(es) == 0 {
		return nil
	}
	s.mu.Lock()
	isClosed := s.closed
	s.mu.Unlock()
	if isClosed {
		return all(len(es), closed(s.c.Queue, "extend"))
	}
	return all(len(es), &drivers.Error{Code: drivers.Unsupported, Queue: s.c.Queue, Op: "extend", Err: errNoLease})
}

// check returns an error if a receive returned nothing because no message can come,
// and nil if there was none.
func (s *Source) check(ctx context.Context, sub *pubsub.Subscription) error {
	if s.c.Provider.Check == nil || sub == nil || s.ctx.Err() != nil {
		return nil //nolint:nilerr // the source is closed
	}
	return classify(ctx, s.c.Queue, "receive", call(func() error { return s.c.Provider.Check(sub) }))
}

// take returns the delivery of a message, or holds the message until its
// not-before.
func (s *Source) take(pm *pubsub.Message) (drivers.Delivery, bool) {
	now := time.Now()
	m, due := unwrap(pm, now)
	if s.c.Republish == nil {
		m.Attempt = 0 // nobody counts
	} else if m.Attempt == 0 {
		m.Attempt = 1
	}
	f := &flight{pm: pm, m: m, due: due}
	s.mu.Lock()
	defer s.mu.Unlock()
	if due.After(now) {
		at, _ := slices.BinarySearchFunc(s.held, due, func(f *flight, t time.Time) int { return f.due.Compare(t) })
		s.held = slices.Insert(s.held, at, f)
		return drivers.Delivery{}, false
	}
	return s.deliver(f), true
}

// deliver gives a flight a receipt, which identifies the delivery and never the
// message. s.mu is held.
func (s *Source) deliver(f *flight) drivers.Delivery {
	s.next++
	receipt := strconv.FormatUint(s.next, 36)
	s.flying[receipt] = f
	m := *f.m
	m.Body, m.Attributes = bytes.Clone(f.m.Body), maps.Clone(f.m.Attributes)
	return drivers.Delivery{Message: &m, Receipt: receipt}
}

// takeDue delivers up to n held messages that have become due. It returns the time
// of the next one, and whether the source holds as many as it may.
func (s *Source) takeDue(n int, now time.Time) (out []drivers.Delivery, next time.Time, full bool) {
	due, next, full := s.popDue(n, now)
	for _, d := range due {
		if f := s.flight(d.Receipt); f == nil || s.lost(f) { // the provider delivers it again
			s.forget(d.Receipt)
			continue
		}
		out = append(out, d)
	}
	return out, next, full
}

// popDue is takeDue without the check for lost deliveries.
func (s *Source) popDue(n int, now time.Time) (due []drivers.Delivery, next time.Time, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := 0
	for k < len(s.held) && k < n && !s.held[k].due.After(now) {
		due = append(due, s.deliver(s.held[k]))
		k++
	}
	s.held = slices.Delete(s.held, 0, k)
	if len(s.held) > 0 {
		next = s.held[0].due
	}
	return due, next, len(s.held) >= maxHeld
}

// flight returns the flight of a receipt, or nil.
func (s *Source) flight(receipt string) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flying[receipt]
}

func (s *Source) forget(receipt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flying, receipt)
}

// one waits until the given time for a message of sub. It returns neither message
// nor error if none came. A nil sub has none.
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

// give ends a receive with an error. It gives back the messages that the receive
// has already taken: without a lease nothing else would bring them back.
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

func (s *Source) settle(ctx context.Context, st *drivers.Settlement) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	f, isClosed := s.flying[st.Receipt], s.closed
	delete(s.flying, st.Receipt) // a concurrent settlement of the same receipt is lost
	s.mu.Unlock()
	switch {
	case isClosed:
		return closed(s.c.Queue, "settle")
	case f == nil:
		return &drivers.Error{Code: drivers.LeaseLost, Queue: s.c.Queue, Op: "settle", Err: errStale}
	case s.lost(f):
		return &drivers.Error{Code: drivers.LeaseLost, Queue: s.c.Queue, Op: "settle", Err: errTaken}
	}
	defer func() {
		if err != nil && !invoke.Is(err, errNoNack) { // without a nack it can never be settled
			s.keep(st.Receipt, f)
		}
	}()
	switch st.Action {
	case handler.ActionAck, handler.ActionDrop:
		f.pm.Ack()
		return nil
	case handler.ActionDeadLetter:
		return s.reject(ctx, f, st)
	default:
		var due time.Time
		if st.Delayed && st.Delay > 0 {
			due = time.Now().Add(st.Delay)
		}
		if s.c.Republish == nil && f.pm.Nackable() && !due.IsZero() {
			return s.refuse(errNoDelay)
		}
		// A message that no handler has seen goes back as the attempt that it is.
		return s.back(ctx, f, !st.Released, due)
	}
}

// keep restores a flight that could not be settled.
func (s *Source) keep(receipt string, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.flying[receipt] = f
	}
}

// reject sends a copy to the dead-letter queue and then acks, so that a crash in
// between leaves two copies and never none.
func (s *Source) reject(ctx context.Context, f *flight, st *drivers.Settlement) error {
	if s.c.DeadLetter == nil {
		return &drivers.Error{Code: drivers.Unsupported, Queue: s.c.Queue, Op: "reject", Err: errNoDLQ,
			Remedy: "name a topic with the parameter dead_letter of the URL"}
	}
	if err := letter.Send(ctx, s.c.DeadLetter, f.m, st.Failure, s.c.Queue); err != nil {
		return err
	}
	f.pm.Ack()
	return nil
}

// back gives a message back: by a copy that replaces it if the source republishes,
// and by a nack otherwise. counts makes the copy another attempt.
func (s *Source) back(ctx context.Context, f *flight, counts bool, due time.Time) error {
	if s.c.Republish != nil {
		attempt := max(f.m.Attempt, 1)
		if counts {
			attempt++
		}
		errs := make([]error, 1)
		s.c.Republish.publish(ctx, []*pubsub.Message{again(f.pm, f.m, attempt, due, time.Now())}, errs)
		if errs[0] == nil {
			f.pm.Ack()
		}
		return errs[0]
	}
	if !f.pm.Nackable() {
		return s.refuse(errNoNack)
	}
	f.pm.Nack()
	return nil
}

func (s *Source) refuse(err error) error {
	return &drivers.Error{Code: drivers.Unsupported, Queue: s.c.Queue, Op: "retry", Err: err,
		Remedy: "set retry=republish in the URL to republish retries"}
}

// broken drops a subscription that has failed for good. Messages received from it
// can still be settled, so it is shut down with the source.
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
		Queue: s.c.Queue, System: s.c.Provider.System,
		MaxReceive: maxBatch, MaxSettle: maxBatch, MaxExtend: maxBatch, MaxSend: maxBatch,
		StaleReceiptHarmless: true,
	}
	if s.c.Republish != nil {
		c.MaxDelay, c.AttemptKnown, c.FreeRelease = drivers.Unlimited, true, true
	}
	if s.c.DeadLetter != nil {
		c.DeadLetter, c.DeadLetterQueue = true, s.c.DeadLetter.Capabilities().Queue
	}
	return c
}

// Close implements drivers.Source. It gives back the messages that were received and
// not settled, as far as the provider can, since no lease would.
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
	case s.c.Provider.Release != nil: // it gives back the messages themselves, without copies
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
		if !invoke.Is(err, drivers.ErrUnsupported) { // the provider brings it back by itself, or not
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

// lost reports whether the provider has taken a delivery back. It calls user code
// and must not be called with s.mu held. If that code panics, the delivery counts as
// lost, since settling it could affect another.
func (s *Source) lost(f *flight) (is bool) {
	if s.c.Provider.Lost == nil {
		return false
	}
	return invoke.DoApart(func() { is = s.c.Provider.Lost(f.pm) }) != nil || is
}

// stop makes the provider stop sending to sub.
func (s *Source) stop(ctx context.Context, sub *pubsub.Subscription) error {
	if s.c.Provider.Stop == nil {
		return nil
	}
	return within(ctx, func() error { return s.c.Provider.Stop(sub) })
}

// release gives back the messages that were received from sub, after its shutdown.
func (s *Source) release(ctx context.Context, sub *pubsub.Subscription) error {
	if s.c.Provider.Release == nil {
		return nil
	}
	return classify(ctx, s.c.Queue, "close", within(ctx, func() error { return s.c.Provider.Release(sub) }))
}
