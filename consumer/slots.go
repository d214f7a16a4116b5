package consumer

import (
	"math/bits"
	"time"
)

// waiter is a poller that wants handler slots to receive for.
type waiter struct {
	lane *lane
	// want is the most it can use, full the least that it is content with.
	want, full int
	ask        int // how many messages to ask for, if that is more than its slots
	got        int
	partial    bool // it was told that there are some slots, but fewer than full
	ch         chan struct{}
}

func newWaiter(l *lane) *waiter { return &waiter{lane: l, ch: make(chan struct{}, 1)} }

// acquire waits for handler slots: for a whole batch's worth while the lane is
// busy, but not for long once there are some. It returns how many messages to
// ask for, 0 if the consumer stops, and the slots that it has taken for them.
//
// Of several lanes, one with few messages takes no slot, since its long poll
// would keep it from the others. What it brings waits for a slot in hand.
func (c *Consumer) acquire(w *waiter) (n, slots int) {
	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		return 0, 0
	}
	if l := w.lane; len(c.lanes) > 1 && !l.busy && l.ask <= fewMessages && c.room() > 0 {
		n = l.cap(max(l.ask, 1))
		c.mu.Unlock()
		return n, 0
	}
	w.want, w.full, w.ask = c.target(w.lane)
	w.got, w.partial = 0, false
	select { // a signal of the last time
	case <-w.ch:
	default:
	}
	patience := w.lane.patience()
	c.waiters = append(c.waiters, w)
	c.grant()
	var timer *time.Timer
	var ring <-chan time.Time
	halved := false
	for w.got == 0 {
		if w.partial && timer == nil {
			timer = time.NewTimer(patience)
			defer timer.Stop()
			ring = timer.C
		}
		rang := false
		c.mu.Unlock()
		select {
		case <-w.ch:
		case <-c.stop:
		case <-ring:
			rang = true
		}
		c.mu.Lock()
		if c.stopping {
			c.forget(w)
			c.give(w.lane, w.got)
			c.mu.Unlock()
			return 0, 0
		}
		if w.got == 0 && rang {
			// First it is content with half a batch; a request for a few
			// messages costs as much as one for many.
			if w.full > 2 && !halved {
				halved = true
				w.full /= 2
				timer.Reset(3 * patience)
			} else {
				w.full = 1
				ring = nil
			}
			c.grant()
		}
	}
	c.mu.Unlock()
	return max(w.got, w.ask), w.got
}

// fewMessages is how many messages a lane may ask for without handler slots.
const fewMessages = 2

// patience is how long a poller waits for slots enough to fill a batch, once it
// could have some: long enough for handlers that take a few milliseconds, and
// that were started together, to end together; and a part of what longer ones
// take, so that slots are not left idle for much. c.mu is held.
func (l *lane) patience() time.Duration {
	d := min(max(2*l.took, 5*time.Millisecond), 12*time.Millisecond)
	return min(max(d, l.took/8), 250*time.Millisecond)
}

// mostPollers is how many pollers a lane can use: no more than can each have a
// full batch's slots, or they would split batches between them. c.mu is held.
func (l *lane) mostPollers() int {
	share := l.c.share(l)
	full := max(min(l.caps.MaxReceive, share/2), 1)
	return min(l.c.cfg.MaxPollers, max(share/full, 1))
}

// target says how many slots a lane's poller wants, with how many it is content,
// and for how many messages it asks if that is more. c.mu is held.
func (c *Consumer) target(l *lane) (want, full, ask int) {
	share := c.share(l)
	want = l.cap(max(min(l.caps.MaxReceive, share, l.drainable()), 1))
	if len(c.lanes) > 1 {
		// Slots that it asks for in vain, the others miss: it begins slowly.
		want = min(want, l.ask)
	}
	if l.groups != nil && l.turns < want {
		// Most of what a receive brings waits for its group, not for a slot.
		want, ask = max(l.turns, 1), want
	}
	if !l.busy {
		return want, 1, ask
	}
	// Two batches take turns. What an idle lane's long poll holds is not there to
	// be shared: counting on it, one of the two would wait for a slot in vain.
	usable := share
	for _, other := range c.lanes {
		if other != l && !other.busy {
			usable -= other.used
		}
	}
	return want, max(min(want, usable/2), 1), ask
}

// maxInARow bounds inARow: it is more than any receive brings.
const maxInARow = 10_000

// drainable is how many messages a receive may ask for, so that those of them that
// wait for their group can be handled within a drain. On an ordered queue that
// counts receives as attempts a drain that gives them back would cost each of them
// one: a few restarts, and what no handler has seen is dead-lettered. c.mu is held.
func (l *lane) drainable() int {
	if !l.careful() {
		return maxInARow
	}
	return max(l.turns, 1) - 1 + l.inARow()
}

// inARow is how many messages of a group can be handled one after the other within
// a drain: one as long as it is not known how long handlers take. c.mu is held.
func (l *lane) inARow() int {
	if l.usual <= 0 {
		return 1
	}
	n := max(l.c.cfg.DrainTimeout, 0) / (l.usual + l.usual/4)
	return int(max(min(n, maxInARow), 1))
}

// share is how many slots a lane may have: all, but for those of the other
// lanes that have messages waiting. c.mu is held.
func (c *Consumer) share(l *lane) int {
	weights := uint64(l.weight)
	for _, other := range c.lanes {
		if other != l && other.busy {
			weights += uint64(other.weight)
		}
	}
	hi, lo := bits.Mul64(uint64(c.cfg.Concurrency), uint64(l.weight))
	part, _ := bits.Div64(hi, lo, weights) // at most Concurrency, since weights has l's
	return max(int(part), 1)
}

// maxWeight bounds the sum of the lanes' weights, which grant multiplies.
const maxWeight = 1 << 31

// scaleWeights divides the lanes' weights by one number if their sum is above
// maxWeight, but none to 0.
func scaleWeights(lanes []*lane) {
	sum := 0.0
	for _, l := range lanes {
		sum += float64(l.weight)
	}
	if sum <= maxWeight {
		return
	}
	for _, l := range lanes {
		l.weight = max(int(float64(l.weight)/sum*maxWeight), 1)
	}
}

// available is how many messages may be received now: not more than there are
// free slots, and none while too much is in hand. c.mu is held.
func (c *Consumer) available() int {
	return min(c.free, c.room())
}

// room is how many more messages may be in hand: none while too many wait for
// their group, for their time, or for the provider to take their verdict. c.mu
// is held.
func (c *Consumer) room() int {
	return min(c.handRoom(), c.maxUnsettled-c.unsettled())
}

// handRoom is room without the messages that wait for the provider. c.mu is held.
func (c *Consumer) handRoom() int {
	if c.handBytes >= maxHandBytes || c.apart() {
		return 0
	}
	return min(c.maxWaiting-c.waiting, maxHand-c.waiting-c.reruns)
}

// beginWait counts a message that waits here for its turn. c.mu is held.
func (c *Consumer) beginWait(f *flight) {
	c.waiting++
	c.handBytes += len(f.body)
}

// endWait ends the wait of messages that beginWait has counted. c.mu is held.
func (c *Consumer) endWait(fs ...*flight) {
	c.waiting -= len(fs)
	for _, f := range fs {
		c.handBytes -= len(f.body)
	}
}

// unsettled is how many messages wait for the provider to take their verdict.
// c.mu is held.
func (c *Consumer) unsettled() int {
	n := c.alive - c.running - c.ready.len() - c.waiting - c.parked
	if c.solo.next != nil {
		n--
	}
	return max(n, 0)
}

// grant hands free slots to those who wait, first to the lane that has the
// fewest for its weight. c.mu is held.
func (c *Consumer) grant() {
	for len(c.waiters) > 0 && !c.stopping {
		n := c.available()
		if n < 1 {
			return
		}
		var w *waiter
		room := 0
		for _, other := range c.waiters {
			r := c.share(other.lane) - other.lane.used
			if r < 1 || w != nil && other.lane.used*w.lane.weight >= w.lane.used*other.lane.weight {
				continue
			}
			w, room = other, min(n, other.want, r)
		}
		if w == nil {
			return
		}
		if room < w.full {
			if !w.partial {
				w.partial = true
				w.signal()
			}
			return
		}
		w.got = room
		w.lane.used += room
		c.free -= room
		c.forget(w)
		w.signal()
	}
}

// give returns slots. c.mu is held; grant is the caller's to call.
func (c *Consumer) give(l *lane, n int) {
	l.used -= n
	c.free += n
}

// giveBack returns slots that were not used.
func (c *Consumer) giveBack(l *lane, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.give(l, n)
	c.grant()
}

func (c *Consumer) forget(w *waiter) {
	for i, other := range c.waiters {
		if other == w {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			return
		}
	}
}

func (w *waiter) signal() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}
