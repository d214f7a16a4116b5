package cloud

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/letter"
)

// take makes a delivery of a message, or holds it until its not-before.
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

// deliver gives a flight its receipt: the delivery's, never the message's. s.mu
// is held.
func (s *Source) deliver(f *flight) drivers.Delivery {
	s.next++
	receipt := strconv.FormatUint(s.next, 36)
	s.flying[receipt] = f
	m := *f.m
	m.Body, m.Attributes = bytes.Clone(f.m.Body), maps.Clone(f.m.Attributes)
	return drivers.Delivery{Message: &m, Receipt: receipt}
}

// takeDue delivers up to n held messages that have become due, and tells when the
// next does, and whether as many are held as may be.
func (s *Source) takeDue(n int, now time.Time) (out []drivers.Delivery, next time.Time, full bool) {
	due, next, full := s.popDue(n, now)
	for _, d := range due {
		if f := s.flight(d.Receipt); f == nil || s.lost(f) { // what is lost comes again
			s.forget(d.Receipt)
			continue
		}
		out = append(out, d)
	}
	return out, next, full
}

// popDue delivers up to n held messages that have become due, those that are lost
// among them.
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

// flight returns the flight of a receipt, nil if there is none.
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

var (
	errStale   = errors.New("the delivery was settled before, or is another source's")
	errTaken   = errors.New("the provider took the delivery back, and delivers the message again")
	errNoNack  = errors.New("the provider has no nack: it does not deliver a message again")
	errNoDelay = errors.New("gocloud's nack has no delay")
	errNoDLQ   = errors.New("there is no dead-letter queue")
	errNoLease = errors.New("gocloud's deliveries have no lease that can be extended")
)

// Settle implements drivers.Source. gocloud sends acks in the background: one
// that fails is reported by a later receive.
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

func (s *Source) settle(ctx context.Context, st *drivers.Settlement) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	f, isClosed := s.flying[st.Receipt], s.closed
	delete(s.flying, st.Receipt) // the same receipt, settled at once by another, is lost
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
		if err != nil && !invoke.Is(err, errNoNack) { // with no nack there is nothing to keep it for
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

// keep puts a flight back that could not be settled.
func (s *Source) keep(receipt string, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.flying[receipt] = f
	}
}

// reject sends a copy to the dead-letter queue and then acks, so that a crash in
// between leaves two, and none at no time.
func (s *Source) reject(ctx context.Context, f *flight, st *drivers.Settlement) error {
	if s.c.DeadLetter == nil {
		return &drivers.Error{Code: drivers.Unsupported, Queue: s.c.Queue, Op: "reject", Err: errNoDLQ,
			Remedy: "name a topic with the URL's parameter dead_letter"}
	}
	if err := letter.Send(ctx, s.c.DeadLetter, f.m, st.Failure, s.c.Queue); err != nil {
		return err
	}
	f.pm.Ack()
	return nil
}

// back gives a message back: by a copy that takes its place where that was asked
// for, and by a nack otherwise. A copy made for a retry counts as an attempt.
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
		Remedy: "have retries republished, with the URL's parameter retry=republish"}
}

// Extend implements drivers.Source. It refuses.
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
