package consumer

import (
	"cmp"
	"sync"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/timer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// state is where a flight is on its way. It only moves forward, but for a
// parked message that becomes a settling one.
type state uint8

const (
	held     state = iota // received, its handler has not started
	running               // its handler is at work
	parked                // its handler has returned; it is kept in hand for a time
	settling              // its verdict is to be carried out
	done                  // nothing is to be done with it any more
)

// flight is one delivery from its receive until it is settled or lost. It is
// keyed by nothing: the same message can be in flight twice. Flights are made in
// slabs and never reused, so that a handler that keeps its context or its lease
// too long finds them ended, not another message's.
type flight struct {
	lane     *lane
	msg      *handler.Message
	attempt  int // as it was received; 0 is not known
	receipt  string
	received time.Time
	length   time.Duration // of the lease as it was received

	// The message as it was received: middleware may have changed it for the
	// handler, and a copy to the dead-letter queue must be of the original.
	body  []byte
	attrs map[string]string

	ctx   handlerContext
	timer timer.Item
	probe *probe // the restricted receive that brought it; nil otherwise

	// group is set before the flight is ready, and nil unless its queue is
	// ordered and the message has one.
	group *group
	// cleared is true once it is known whether it is a suspect, and alone if it runs
	// alone. Guarded by Consumer.mu; alone is its worker's from its start on.
	cleared, alone bool
	// failed is when its handler failed first, if that is known: it failed here.
	failed *time.Time

	// Guarded by Consumer.mu.
	prev, next *flight // in Consumer.live

	mu       sync.Mutex
	state    state
	lost     bool // the lease is lost
	revoked  bool // the provider has said so
	stopped  bool // the handler was cancelled because the consumer stops
	deadline time.Time
	started  time.Time
	keep     *keeper // nil until someone wants the lease extended
	verdict  settlement
}

// settlement is what is to be done with a flight, and how far that is.
type settlement struct {
	action   handler.Action
	delay    time.Duration
	delayed  bool
	released bool // given back unhandled
	waits    bool // until the extension that is on its way has ended
	again    bool // it failed and is submitted again when the timer fires
	tries    int
	failure  *drivers.Failure

	// Of a parked flight: when it is run again here, or is to be visible again;
	// which of the two; and whether its time has come, and an extension on its
	// way is in its way.
	until      time.Time
	rerun, due bool
}

// slab is how many flights are allocated at once: few enough that one that
// lives long holds little memory of others.
const slab = 8

// newFlights makes the flights of a receive. The slice is its caller's.
func (l *lane) newFlights(ds []drivers.Delivery, now time.Time, p *probe) []*flight {
	fs := make([]*flight, 0, len(ds))
	var free []flight
	for i := range ds {
		d := &ds[i]
		if len(free) == 0 {
			free = make([]flight, min(slab, len(ds)-i))
		}
		f := &free[0]
		free = free[1:]
		f.lane, f.msg, f.receipt, f.received, f.probe = l, d.Message, d.Receipt, now, p
		f.body, f.attrs, f.attempt = d.Message.Body, d.Message.Attributes, d.Message.Attempt
		f.deadline = byThisClock(d.Deadline, now)
		f.length = cmp.Or(max(d.Lease, 0), l.caps.Lease, f.deadline.Sub(now))
		f.ctx.base = l.c.base
		f.timer.Owner = f
		d.Message.Bind(l.origin, (*lease)(f))
		fs = append(fs, f)
	}
	return fs
}

// interrupted reports whether the handler was cancelled, because the lease was
// lost or the consumer stops.
func (f *flight) interrupted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost || f.stopped
}

// byThisClock gives a deadline that a driver left without its monotonic part
// one, by the wall clock of this moment: a later step of that clock must not move
// it.
func byThisClock(t, now time.Time) time.Time {
	if t.IsZero() || t != t.Round(0) { // Round takes the monotonic part away
		return t
	}
	return now.Add(t.Sub(now))
}

// leased reports whether the delivery has a deadline at all.
func (f *flight) leased() bool { return !f.deadline.IsZero() }

// link adds f to the live flights. Consumer.mu is held.
func (c *Consumer) link(f *flight) {
	f.next = c.live
	if c.live != nil {
		c.live.prev = f
	}
	c.live = f
	c.alive++
}

// unlink takes f out of them. Consumer.mu is held.
func (c *Consumer) unlink(f *flight) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		c.live = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
	c.alive--
}

// gone ends flights: nothing is to be done with them any more.
func (c *Consumer) gone(fs ...*flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range fs {
		c.unlink(f)
	}
	if c.solo.next != nil {
		c.wake()
	}
	c.grant()
	c.changed()
}

// changed wakes a shutdown that waits. c.mu is held.
func (c *Consumer) changed() {
	if c.stopping {
		select {
		case c.poke <- struct{}{}:
		default:
		}
	}
}
