package consumer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// leaseSkew is what the provider's longest lease is undercut by, for clocks that
// differ and for the request's way.
const leaseSkew = 5 * time.Second

// beatSlack bounds how long a due beat may wait for others to share a request
// with.
const beatSlack = time.Second

// maxParkExtension bounds one extension of a parked message's lease.
const maxParkExtension = 10 * time.Minute

// nextBeat says when the lease is to be extended next and by how much. f.mu is
// held.
func (f *flight) nextBeat(now time.Time) (at time.Time, by time.Duration, ok bool) {
	length, fraction := f.length, 0.5
	k := f.keep
	switch f.state {
	case held:
	case parked:
		// Its lease ends one length after its time. A process that crashes keeps
		// it hidden for not much longer than it was to wait.
		length = min(max(f.verdict.until.Sub(now)+f.length, f.length), max(f.length, maxParkExtension))
		fraction = float64(f.length) / float64(2*length)
	case running:
		if k == nil || !k.on {
			return at, 0, false
		}
		length, fraction = k.length, k.fraction
	case settling, done:
		return at, 0, false
	}
	if m := f.lane.caps.MaxExtension; m > 0 {
		length = min(length, m)
	}
	if k != nil && (k.refused || k.sent || k.want > 0) {
		return at, 0, false
	}
	at = f.deadline.Add(-time.Duration(fraction * float64(length)))
	if at.Before(now) {
		at = now
	}
	if k != nil && at.Before(k.retryAt) {
		at = k.retryAt
	}
	if k != nil && f.state == running && !k.until.IsZero() && !at.Before(k.until) {
		return at, 0, false
	}
	by = f.capExtension(length, at)
	if at.Add(by).Sub(f.deadline) < length/50 {
		// The provider's longest lease is reached: it can gain nothing.
		return at, 0, false
	}
	return at, by, true
}

// beat asks for an extension where it is due. f.mu is held.
func (f *flight) beat(now time.Time) {
	at, by, ok := f.nextBeat(now)
	if !ok || at.After(now) {
		return
	}
	f.keeper().want = by
	// It can wait for company, but leaves most of what is left of the lease for
	// a second try.
	slack := min(f.deadline.Sub(now)/4, beatSlack)
	f.lane.extensions.Add(f, now.Add(slack))
}

// capExtension cuts an extension to what the provider allows at the moment now.
func (f *flight) capExtension(by time.Duration, now time.Time) time.Duration {
	if m := f.lane.caps.MaxExtension; m > 0 {
		by = min(by, m)
	}
	return f.capLease(by, now)
}

// capLease cuts a time from now to what is left of the provider's longest lease,
// in whole seconds, as providers count them.
func (f *flight) capLease(d time.Duration, now time.Time) time.Duration {
	m := f.lane.caps.MaxLease
	if m <= 0 {
		return d
	}
	left := m - now.Sub(f.received) - leaseMargin(m)
	if d <= left {
		return d
	}
	if left > time.Second {
		left = left.Truncate(time.Second)
	}
	return left
}

// leaseMargin is what is left of the provider's longest lease for clocks and the
// request's way.
func leaseMargin(longest time.Duration) time.Duration { return min(leaseSkew, longest/10) }

// takeWant takes the extension that is wanted, if it still is.
func (f *flight) takeWant(now time.Time) (by time.Duration, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.keep
	if k.want <= 0 || k.sent || f.lost || f.state > parked {
		return 0, false
	}
	by = f.capExtension(k.want, now)
	k.want = 0
	if by <= 0 || f.over(now) {
		answer(k.waiters, handler.ErrLeaseLost)
		k.waiters = nil
		return 0, false
	}
	k.sent = true
	k.current, k.waiters = k.waiters, nil
	return by, true
}

// flushExtensions sends a batch of extensions, each within its lease: a standard
// SQS queue lets an old receipt extend the lease of whoever has the message now.
func (l *lane) flushExtensions(fs []*flight) {
	l.c.noteSleep()
	// What is over is found by takeWant, which answers those who wait for it.
	inTime(fs, l.extend, func(fs []*flight) { l.extend(fs, 0) })
}

// extend sends one request of extensions, of whose leases the shortest has the
// given time left.
func (l *lane) extend(fs []*flight, left time.Duration) {
	slept, now := l.asleep(), time.Now()
	es := make([]drivers.Extension, 0, len(fs))
	sent := fs[:0]
	for _, f := range fs {
		by, ok := f.takeWant(now)
		if !ok {
			continue
		}
		es = append(es, drivers.Extension{Receipt: f.receipt, By: by})
		sent = append(sent, f)
	}
	if len(es) == 0 {
		return
	}
	// A request that hangs must leave time for another.
	ctx, cancel := context.WithTimeout(l.c.ops, min(max(left/2, time.Second), 20*time.Second, left))
	var errs []error
	if ctx.Err() == nil {
		errs = l.source.Extend(ctx, es)
	} else {
		errs = l.overErrors(len(es))
	}
	cancel()
	if slept = l.asleep() - slept; slept > jitter {
		now = now.Add(-slept) // the provider may have answered before
	}
	for i, f := range sent {
		f.extended(now, es[i].By, itemError(errs, i, len(es)))
	}
}

// calm is how much of a lease must be left for a request to need no care: it is
// more than any request takes.
const calm = 10 * time.Second

// inTime has requests made for fs, each with flights whose leases have similar
// times left, of which the shortest is the second argument of send: one that is
// nearly over must not cut the request of others short. Flights whose lease is
// over go to lapsed. fs is reordered.
func inTime(fs []*flight, send func([]*flight, time.Duration), lapsed func([]*flight)) {
	least, now := endless, time.Now()
	for _, f := range fs {
		least = min(least, f.remaining(now))
	}
	if least >= calm {
		send(fs, least)
		return
	}
	slices.SortFunc(fs, func(a, b *flight) int { return cmp.Compare(a.remaining(now), b.remaining(now)) })
	for len(fs) > 0 {
		now = time.Now()
		n, left := 1, fs[0].remaining(now)
		same := func(f *flight) bool {
			d := f.remaining(now)
			return left >= calm || left > 0 && d <= 2*left || left <= 0 && d <= 0
		}
		for n < len(fs) && same(fs[n]) {
			n++
		}
		if left > 0 {
			send(fs[:n:n], left)
		} else {
			lapsed(fs[:n:n])
		}
		fs = fs[n:]
	}
}

const endless = time.Duration(1<<63 - 1)

// remaining is what is left of the lease.
func (f *flight) remaining(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.leased() {
		return endless
	}
	return f.deadline.Sub(now)
}

// shorten has the lease end at a given time, if it would later, and returns what is
// left of it.
func (f *flight) shorten(at, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.leased() {
		return endless
	}
	if at.Before(f.deadline) {
		f.deadline = at
	}
	return f.deadline.Sub(now)
}

// over reports whether the lease has ended. f.mu is held.
func (f *flight) over(now time.Time) bool {
	return f.revoked || f.leased() && !now.Before(f.deadline)
}

// errResults is what a driver's faulty answer is taken for.
var errResults = errors.New("the driver returned another number of results than it was given items")

// itemError reads a driver's answer: nil is that all went well.
func itemError(errs []error, i, n int) error {
	if errs == nil {
		return nil
	}
	if len(errs) != n {
		return errResults
	}
	return errs[i]
}

// extended takes the answer to an extension that was sent at the given time.
func (f *flight) extended(at time.Time, by time.Duration, err error) {
	c := f.lane.c
	now := time.Now()
	f.mu.Lock()
	k := f.keep
	k.sent = false
	answerErr := err
	lost := invoke.Is(err, drivers.ErrLeaseLost)
	if lost || f.lost {
		answerErr = handler.ErrLeaseLost
	}
	answer(k.current, answerErr)
	k.current = nil
	if k.idle != nil {
		close(k.idle)
		k.idle = nil
	}
	f.revoked = f.revoked || lost // from now on no verdict is carried out
	submit := f.state == settling && f.verdict.waits
	f.verdict.waits = false
	due := f.state == parked && f.verdict.due && !lost && !f.lost
	refused := false
	switch {
	case err == nil:
		k.tries, k.retryAt = 0, time.Time{}
		if !f.lost && f.state <= settling {
			f.deadline = at.Add(by)
			f.callHooks(k)
		}
	case lost:
	case drivers.CodeOf(err).Retryable():
		// What is left of the lease is for trying again.
		k.tries++
		k.retryAt = now.Add(backoffDelay(k.tries, 50*time.Millisecond, max(f.deadline.Sub(now)/4, 50*time.Millisecond)))
	default:
		refused = !k.refused
		k.refused = true
	}
	if k.want > 0 && f.state <= parked && !f.lost {
		f.lane.extensions.Add(f, now.Add(c.linger()))
	}
	if f.state <= parked && !f.lost && !lost {
		if f.state == parked {
			f.schedulePark(now)
		} else {
			f.reschedule(now)
		}
	}
	f.mu.Unlock()

	c.observe(handler.Event{Kind: handler.EventExtended, Origin: f.lane.origin, Message: f.msg, Extension: by, Err: err})
	if refused {
		if missed, ok := f.lane.refuse.Allow(now, time.Minute); ok {
			c.log.Error("the provider refuses to extend leases: handlers that take longer are cancelled",
				"queue", f.lane.caps.Queue, "error", err, "not_logged", missed)
		}
	}
	if submit && lost {
		c.heap.Remove(&f.timer)
		f.lane.lapsed([]*flight{f})
		return
	}
	if submit {
		f.submit(now)
		return
	}
	if due {
		f.unpark(now)
	}
	if lost {
		f.lose(err)
	}
}

// answer tells Extend calls.
func answer(waiters []chan error, err error) {
	for _, w := range waiters {
		w <- err
	}
}

// answerAll tells every Extend call that waits. f.mu is held.
func (f *flight) answerAll(err error) {
	k := f.keep
	if k == nil {
		return
	}
	k.want = 0
	answer(k.waiters, err)
	k.waiters = nil
}

// callHooks has the OnExtend functions called, one call at a time. f.mu is held.
func (f *flight) callHooks(k *keeper) {
	if len(k.hooks) == 0 || f.state != running {
		return
	}
	k.hookOwed = true
	if k.calling {
		return
	}
	k.calling = true
	go f.runHooks(k)
}

func (f *flight) runHooks(k *keeper) {
	f.mu.Lock()
	for k.hookOwed {
		k.hookOwed = false
		deadline := f.deadline
		for _, h := range k.hooks {
			if k.hooks == nil {
				break // the handler has returned meanwhile
			}
			f.mu.Unlock()
			f.lane.c.callHook(f, h, deadline)
			f.mu.Lock()
		}
	}
	k.calling = false
	f.mu.Unlock()
}
