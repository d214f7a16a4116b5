package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// maxParked bounds the memory of parked messages. Beyond it a retry gets the
// provider's longest delay and comes back early.
const maxParked = 10_000

// park holds a message back whose delay is longer than the provider's longest
// (Pub/Sub: 600 s): its lease is extended until the rest of the delay fits into
// one settlement. It takes no handler slot. f.mu is held.
func (f *flight) park(now time.Time) bool {
	c := f.lane.c
	if !f.leased() || c.parkedNow() >= maxParked {
		return false
	}
	f.state = parked
	f.verdict.until = now.Add(f.verdict.delay)
	f.schedulePark(now)
	return true
}

// schedulePark sets the timer to the next extension, or to the moment at which
// the rest of the delay can be given away. f.mu is held.
func (f *flight) schedulePark(now time.Time) {
	at := f.verdict.until.Add(-f.lane.caps.MaxDelay)
	if f.deadline.Before(at) {
		at = f.deadline
	}
	if beat, _, ok := f.nextBeat(now); ok && beat.Before(at) {
		at = beat
	}
	f.lane.c.heap.Set(&f.timer, at)
}

// unpark goes on with a parked message whose timer fired.
func (f *flight) unpark(now time.Time) {
	f.mu.Lock()
	if f.state != parked {
		f.mu.Unlock()
		return
	}
	switch rest := f.verdict.until.Sub(now); {
	case !now.Before(f.deadline):
		f.mu.Unlock()
		f.lose(handler.ErrLeaseLost)
		return
	case rest <= f.lane.caps.MaxDelay:
		f.unparkLocked(rest)
		return
	}
	f.beat(now)
	f.schedulePark(now)
	f.mu.Unlock()
}

// giveAway ends a parking before its time: the message gets the longest delay
// that the provider takes.
func (f *flight) giveAway(now time.Time) {
	f.mu.Lock()
	if f.state != parked {
		f.mu.Unlock()
		return
	}
	f.unparkLocked(min(f.verdict.until.Sub(now), f.lane.caps.MaxDelay))
}

// unparkLocked settles a parked message. f.mu is held and released.
func (f *flight) unparkLocked(delay time.Duration) {
	c := f.lane.c
	f.state = settling
	f.verdict.delay = max(delay, 0)
	f.answerAll(handler.ErrLeaseLost)
	f.verdict.waits = f.keep != nil && f.keep.sent
	waits := f.verdict.waits
	f.mu.Unlock()
	c.mu.Lock()
	c.parked--
	c.mu.Unlock()
	if !waits {
		c.heap.Remove(&f.timer)
		f.submit(time.Now())
	}
}

func (c *Consumer) parkedNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parked
}
