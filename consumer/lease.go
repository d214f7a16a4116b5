package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// lease is the handler's view of a flight.
type lease flight

// Deadline implements handler.Lease.
func (l *lease) Deadline() time.Time {
	f := (*flight)(l)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.deadline
}

// Extend implements handler.Lease.
func (l *lease) Extend(ctx context.Context, d time.Duration) error {
	f := (*flight)(l)
	if d <= 0 {
		return fmt.Errorf("extend by %v: it must be positive; to give a message back return handler.RetryAfter(0, err)", d)
	}
	f.mu.Lock()
	if !f.leased() {
		f.mu.Unlock()
		return handler.ErrNoLease
	}
	if f.state != running || f.lost {
		f.mu.Unlock()
		return handler.ErrLeaseLost
	}
	k := f.keeper()
	answer := make(chan error, 1)
	k.waiters = append(k.waiters, answer)
	k.want = d
	now := time.Now()
	if !k.sent {
		f.lane.extensions.Add(f, now.Add(f.lane.c.linger()))
	}
	f.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Keep implements handler.Lease.
func (l *lease) Keep(o handler.KeepOptions) (stop func(), err error) {
	f := (*flight)(l)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.leased() {
		return func() {}, handler.ErrNoLease
	}
	if o.Fraction < 0 || o.Fraction >= 1 || o.Extension < 0 || o.Max < 0 {
		return func() {}, fmt.Errorf("keep a lease with %+v: Fraction must be below 1 and nothing negative", o)
	}
	if f.state != running || f.lost {
		return func() {}, handler.ErrLeaseLost
	}
	now := time.Now()
	k := f.keeper()
	k.on, k.asked = true, k.asked+1
	k.length, k.fraction, k.until = o.Extension, o.Fraction, time.Time{}
	if o.Max > 0 {
		k.until = now.Add(o.Max)
	}
	f.settleKeeper(k)
	f.reschedule(now)
	asked := k.asked
	return func() { f.stopKeeping(asked) }, nil
}

// OnExtend implements handler.Lease.
func (l *lease) OnExtend(hook func(deadline time.Time)) {
	f := (*flight)(l)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leased() && f.state == running && !f.lost {
		k := f.keeper()
		k.hooks = append(k.hooks, hook)
	}
}

// keeper is what a flight needs once its lease is to be extended.
type keeper struct {
	// on says whether the lease is kept; asked counts the calls of Keep, so that
	// an older call's stop does not end a newer one's.
	on       bool
	asked    int
	length   time.Duration
	fraction float64
	until    time.Time // extensions end; zero is no end

	want    time.Duration // an extension that is to be sent; zero is none
	sent    bool          // an extension is on its way
	tries   int           // beats in a row that failed
	retryAt time.Time     // of a beat that failed
	refused bool          // the provider will not extend it

	waiters []chan error  // Extend calls that wait for want
	current []chan error  // Extend calls that wait for what was sent
	idle    chan struct{} // closed when what was sent is answered; nil if no one waits

	hooks    []func(time.Time)
	calling  bool // a goroutine calls the hooks
	hookOwed bool // there was another extension meanwhile
}

// keeper returns the flight's, making it. f.mu is held.
func (f *flight) keeper() *keeper {
	if f.keep == nil {
		f.keep = &keeper{}
	}
	return f.keep
}

// settleKeeper fills in defaults and limits. f.mu is held.
func (f *flight) settleKeeper(k *keeper) {
	if k.length <= 0 {
		k.length = f.length
	}
	if m := f.lane.caps.MaxExtension; m > 0 {
		// A longer one would be due again as soon as it was granted.
		k.length = min(k.length, m)
	}
	if k.fraction <= 0 {
		k.fraction = 0.5
	}
}

// stopKeeping ends Keep and waits for an extension that is on its way.
func (f *flight) stopKeeping(asked int) {
	f.mu.Lock()
	k := f.keep
	if !k.on || k.asked != asked {
		f.mu.Unlock()
		return
	}
	k.on = false
	if len(k.waiters) == 0 {
		k.want = 0 // not sent yet: it is not sent any more
	}
	var idle chan struct{}
	if k.sent {
		if k.idle == nil {
			k.idle = make(chan struct{})
		}
		idle = k.idle
	}
	f.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// start takes a held flight to its handler. It reports whether the lease is
// still good.
func (f *flight) start(now time.Time) bool {
	f.mu.Lock()
	f.started = now
	if f.lost || f.over(now) {
		f.lost = true
		f.state = done
		f.mu.Unlock()
		f.ctx.end()
		f.lane.c.heap.Remove(&f.timer)
		return false
	}
	f.state = running
	k := f.keep
	if k != nil {
		k.on = false
		if !k.sent {
			k.want = 0
		}
	}
	// A message that waited for its group starts with a full lease, as its
	// handler expects.
	if f.leased() && now.Sub(f.received) > f.length/10 && f.deadline.Sub(now) < f.length*9/10 {
		k = f.keeper()
		if !k.sent {
			k.want = f.length
			f.lane.extensions.Add(f, now.Add(f.lane.c.linger()))
		}
	}
	f.mu.Unlock()
	return true
}

// Fire implements timer.Owner: a beat is due, a lease has ended, a parked
// message or a settlement is to be taken up again.
func (f *flight) Fire(now time.Time) {
	f.mu.Lock()
	switch f.state {
	case held, running:
		if f.leased() && !now.Before(f.deadline) {
			f.mu.Unlock()
			f.lose(handler.ErrLeaseLost)
			return
		}
		if f.ending(now) {
			f.mu.Unlock()
			f.shed()
			return
		}
		f.beat(now)
		f.reschedule(now)
	case parked:
		f.mu.Unlock()
		f.unpark(now)
		return
	case settling:
		if f.verdict.again {
			f.verdict.again = false
			f.mu.Unlock()
			f.submit(now)
			return
		}
	case done:
	}
	f.mu.Unlock()
}

// lose ends the right to work on the flight.
func (f *flight) lose(cause error) {
	c := f.lane.c
	f.mu.Lock()
	if f.lost || f.state >= settling {
		f.mu.Unlock()
		return
	}
	f.lost = true
	was := f.state
	rerun := was == parked && f.verdict.rerun
	if was == parked {
		f.state = done
	}
	f.answerAll(handler.ErrLeaseLost)
	f.mu.Unlock()
	c.heap.Remove(&f.timer)
	switch was {
	case running:
		f.ctx.cancel(handler.ErrLeaseLost)
		c.lost(f, true, cause)
	case parked:
		c.mu.Lock()
		c.leaveRoom(f)
		back := c.groupDone(f, groupLost, 0)
		c.mu.Unlock()
		c.release(back)
		c.gone(f)
		if rerun {
			c.lost(f, false, cause)
		}
	case held, settling, done:
		// A held one is found when its turn comes.
	}
}

// lost counts a lost lease, and logs and reports it on a goroutine of its own: a
// slow logger or observer must not delay the timer of all other leases.
func (c *Consumer) lost(f *flight, cancelled bool, cause error) {
	e := handler.Event{Kind: handler.EventLeaseLost, Origin: f.lane.origin, Message: f.msg, Err: cause}
	c.count.Observe(e)
	go func() {
		if cancelled {
			c.log.Warn("lease lost while the handler runs: it was cancelled", "queue", f.lane.caps.Queue,
				"message", f.msg.ID, "attempt", f.attempt, "cause", invoke.Text(cause))
		}
		c.told.Observe(e)
	}()
}

// reschedule sets the timer to what is next. f.mu is held.
func (f *flight) reschedule(now time.Time) {
	if !f.leased() {
		return
	}
	f.lane.c.heap.Set(&f.timer, f.nextCare(now))
}

// nextCare says when the lease needs care next: when it is to be extended or
// ends, or shortly before its end if it can't be extended any more and no
// handler needs it. f.mu is held.
func (f *flight) nextCare(now time.Time) time.Time {
	beat, _, ok := f.nextBeat(now)
	switch {
	case ok && beat.Before(f.deadline):
		return beat
	case !ok && f.unkeepable():
		return f.deadline.Add(-f.endMargin())
	default:
		return f.deadline
	}
}

// ending reports whether the lease of a message whose handler does not run is
// about to end for good: it is better given back than lost. f.mu is held.
func (f *flight) ending(now time.Time) bool {
	if !f.leased() || now.Before(f.deadline.Add(-f.endMargin())) || !f.unkeepable() {
		return false
	}
	_, _, ok := f.nextBeat(now)
	return !ok
}

// unkeepable reports whether no handler runs and no extension is under way.
// f.mu is held.
func (f *flight) unkeepable() bool {
	k := f.keep
	return f.state != running && (k == nil || !k.sent && k.want == 0)
}

// endMargin is how long before its lease's end a message is given back.
func (f *flight) endMargin() time.Duration { return min(2*time.Second, f.length/4) }
