package consumer

import (
	"cmp"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/timer"
)

const (
	// leaseSkew is how much earlier than the provider's longest lease ours end, for
	// clocks that differ and for the request's way.
	leaseSkew = 5 * time.Second
	// beatSlack bounds how long a due extension may wait for others to share a
	// request with.
	beatSlack = time.Second
	// maxParkExtension bounds one extension of a parked delivery's lease.
	maxParkExtension = 10 * time.Minute
	// endless is the rest of a lease that does not end.
	endless = time.Duration(1<<63 - 1)
)

// A lease is a delivery's lease as the runtime knows it. It decides when to
// extend and by how much; sending is the extender's part. It is guarded by
// delivery.mu.
type lease struct {
	source   *source // never changed
	received instant
	length   time.Duration // as received
	deadline instant       // zero if the delivery has no lease
	keep     *keeper       // nil until someone wants an extension
	timer.Item
	lost    bool
	revoked bool // the provider has reported the loss
}

func newLease(s *source, from *drivers.Delivery, now time.Time) lease {
	deadline := onMonotonicClock(from.Deadline, now)
	return lease{
		source: s, received: at(now), deadline: at(deadline),
		length: cmp.Or(max(from.Lease, 0), s.caps.Lease, deadline.Sub(now)),
	}
}

// successor returns the lease for another run of the handler. Options, waiters and
// hooks of the run before are not in it; failures of extensions are.
func (l *lease) successor() lease {
	next := lease{source: l.source, received: l.received, length: l.length, deadline: l.deadline}
	if k := l.keep; k != nil {
		next.keep = &keeper{tries: k.tries, retryAt: k.retryAt, refused: k.refused}
	}
	return next
}

// onMonotonicClock adds a monotonic reading to a deadline that a driver left
// without one, by the wall clock of this moment: a later step of that clock must
// not move the deadline.
func onMonotonicClock(t, now time.Time) time.Time {
	if t.IsZero() || t != t.Round(0) { // Round strips the monotonic reading
		return t
	}
	return now.Add(t.Sub(now))
}

// timed reports whether there is a lease at all.
func (l *lease) timed() bool { return l.deadline != 0 }

// extensible reports whether there is a lease that can be extended.
func (l *lease) extensible() bool { return l.timed() && l.source.caps.MaxExtension > 0 }

// over reports whether the lease has ended.
func (l *lease) over(now time.Time) bool {
	return l.revoked || l.ended(at(now))
}

// ended reports whether the lease's time is over.
func (l *lease) ended(now instant) bool { return l.timed() && now >= l.deadline }

// when returns the deadline by the clocks of now, the zero time if there is none.
func (l *lease) when(now time.Time) time.Time {
	if !l.timed() {
		return time.Time{}
	}
	return now.Add(l.deadline.sub(at(now)))
}

// left returns the rest of the lease, endless if there is none.
func (l *lease) left(now time.Time) time.Duration {
	if !l.timed() {
		return endless
	}
	return l.deadline.sub(at(now))
}

// keeper returns the lease's keeper, making it if need be.
func (l *lease) keeper() *keeper {
	if l.keep == nil {
		l.keep = &keeper{}
	}
	return l.keep
}

// cap bounds a time from now by the rest of the provider's longest lease, in whole
// seconds, which is how providers count.
func (l *lease) cap(d time.Duration, now instant) time.Duration {
	longest := l.source.caps.MaxLease
	if longest <= 0 || longest == drivers.Unlimited {
		return d
	}
	left := longest - now.sub(l.received) - leaseMargin(longest)
	if d <= left {
		return d
	}
	if left > time.Second {
		left = left.Truncate(time.Second)
	}
	return left
}

// capExtension limits an extension to what the provider allows.
func (l *lease) capExtension(by time.Duration, now instant) time.Duration {
	return l.cap(min(by, l.source.caps.MaxExtension), now)
}

// capDelay bounds a retry's delay by the rest of the provider's longest lease. It
// returns 0 if the provider has no delays.
func (l *lease) capDelay(d time.Duration, now instant) time.Duration {
	if l.source.caps.MaxDelay <= 0 {
		return 0
	}
	return max(l.cap(d, now), 0)
}

// capRetry bounds a delay that one settlement carries.
func (l *lease) capRetry(d time.Duration, now instant) time.Duration {
	d = l.capDelay(d, now)
	if m := l.source.caps.MaxDelay; m > 0 {
		d = min(d, m)
	}
	return d
}

// leaseMargin is the part of the provider's longest lease that is left unused, for
// clocks and the request's way.
func leaseMargin(longest time.Duration) time.Duration { return min(leaseSkew, longest/10) }

// limit returns when the lease ends at the latest. A lease without a limit ends in
// a hundred years.
func (l *lease) limit() instant {
	if l.source.caps.MaxExtension <= 0 || l.keep != nil && l.keep.refused {
		return l.deadline
	}
	if l.source.caps.MaxLease == drivers.Unlimited {
		return l.received.add(100 * 365 * 24 * time.Hour)
	}
	return l.received.add(l.source.caps.MaxLease - leaseMargin(l.source.caps.MaxLease))
}

// nextBeat returns when to extend the lease next and by how much, for a delivery
// that is in st and, if it is parked, until the given time. ok is false if the
// lease is not kept, if an extension is wanted or on its way already, or if another
// one gains nothing.
//
// A held delivery and a running one whose handler asked for it are extended by one
// length when the fraction asked for (by default half a length) is left.
func (l *lease) nextBeat(now time.Time, st state, until instant) (beat instant, by time.Duration, ok bool) {
	if l.source.caps.MaxExtension <= 0 {
		return beat, 0, false
	}
	length, fraction := l.length, 0.5
	k := l.keep
	switch st {
	case held:
	case parked:
		// Its lease ends one length after its time, so that a process that crashes
		// hides the message for not much longer than it would have waited.
		length = min(max(until.sub(at(now))+l.length, l.length), max(l.length, maxParkExtension))
		fraction = float64(l.length) / float64(2*length)
	case running:
		if k == nil || !k.on {
			return beat, 0, false
		}
		length, fraction = k.length, k.fraction
	case settling, done:
		return beat, 0, false
	}
	length = min(length, l.source.caps.MaxExtension)
	if k != nil && (k.refused || k.sent || k.want > 0) {
		return beat, 0, false
	}
	beat = max(l.deadline.add(-time.Duration(fraction*float64(length))), at(now))
	if k != nil && k.retryAt != 0 {
		beat = max(beat, k.retryAt)
	}
	if k != nil && st == running && k.until != 0 && beat >= k.until {
		return beat, 0, false
	}
	by = l.capExtension(length, beat)
	if beat.add(by).sub(l.deadline) < length/50 {
		// The provider's longest lease is reached: there is nothing to gain.
		return beat, 0, false
	}
	return beat, by, true
}

// nextCare returns when the lease needs care next: when it is extended or ends, or
// shortly before its end if it can't be extended any more and no handler needs it.
func (l *lease) nextCare(now time.Time, st state, until instant) instant {
	beat, _, ok := l.nextBeat(now, st, until)
	switch {
	case ok && beat < l.deadline:
		return beat
	case !ok && l.unkept(st):
		return l.deadline.add(-l.endMargin())
	default:
		return l.deadline
	}
}

// expiring reports whether the lease is about to end for good while no handler
// runs.
func (l *lease) expiring(now time.Time, st state, until instant) bool {
	if !l.timed() || at(now) < l.deadline.add(-l.endMargin()) || !l.unkept(st) {
		return false
	}
	_, _, ok := l.nextBeat(now, st, until)
	return !ok
}

// unkept reports whether no handler runs and no extension is under way.
func (l *lease) unkept(st state) bool {
	return st != running && (l.keep == nil || !l.keep.sent && l.keep.want == 0)
}

// endMargin is how long before the end of its lease a message is released.
func (l *lease) endMargin() time.Duration { return min(2*time.Second, l.length/4) }
