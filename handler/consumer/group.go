package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// group is the messages of one group that are here. One of them is being
// handled, or its rejection is being carried out; the others wait.
type group struct {
	key  string
	wait fifo[*flight]
}

// groupOutcome is what a handled message means for the later ones of its group.
type groupOutcome uint8

const (
	groupFails  groupOutcome = iota // they go back unhandled
	groupGoesOn                     // the next one's turn has come
	groupWaits                      // that is known when the message is settled
)

// blockade keeps a group's messages out while its failed head waits for its
// retry: a provider that hands them out meanwhile (Pub/Sub, after the later ones
// went back) would have them handled out of order.
type blockade struct {
	id    string // of the head
	until time.Time
}

// queue puts a flight that was received into its group. It reports whether its
// turn has come. c.mu is held.
func (l *lane) queue(f *flight) bool {
	if l.groups == nil || f.msg.Group == "" {
		return true
	}
	if g := l.groups[f.msg.Group]; g != nil {
		f.group = g
		g.wait.push(f)
		l.c.waiting++
		return false
	}
	f.group = &group{key: f.msg.Group}
	l.groups[f.msg.Group] = f.group
	return true
}

// blockedFor says how long a received flight must go back for, because the head
// of its group waits for its retry. Zero is not at all. c.mu is held.
func (l *lane) blockedFor(f *flight, now time.Time) time.Duration {
	if len(l.blocked) == 0 || f.msg.Group == "" {
		return 0
	}
	b, ok := l.blocked[f.msg.Group]
	if !ok {
		return 0
	}
	d := b.until.Sub(now)
	if d <= 0 || b.id == f.msg.ID {
		delete(l.blocked, f.msg.Group)
		return 0
	}
	return d
}

// groupDone goes on with a flight's group. It returns the flights that are to go
// back unhandled. c.mu is held.
func (c *Consumer) groupDone(f *flight, o groupOutcome, delay time.Duration) []*flight {
	g, l := f.group, f.lane
	if g == nil || o == groupWaits {
		return nil
	}
	if o == groupGoesOn {
		if g.wait.len() == 0 {
			delete(l.groups, g.key)
			return nil
		}
		next := g.wait.pop()
		c.waiting--
		// It takes the slot at once, over the limit if need be by those whose
		// turn comes at the same time: it is no new message.
		l.used++
		c.free--
		c.ready.push(next)
		c.wake()
		return nil
	}
	delete(l.groups, g.key)
	if delay > 0 {
		if len(l.blocked) >= maxBlocked {
			clear(l.blocked)
		}
		l.blocked[g.key] = blockade{id: f.msg.ID, until: time.Now().Add(delay)}
	}
	back := g.wait.drain()
	c.waiting -= len(back)
	return back
}

// maxBlocked bounds the memory of failed groups. Beyond it order is the
// provider's alone.
const maxBlocked = 10_000

// release gives flights back unhandled.
func (c *Consumer) release(fs []*flight) {
	if len(fs) == 0 {
		return
	}
	now := time.Now()
	for _, f := range fs {
		f.giveBack(0, now)
	}
	// They are wanted elsewhere: no waiting for company.
	for _, l := range c.lanes {
		l.retries.Flush()
	}
}

// giveBack gives a flight that was not started back, visible again after delay.
func (f *flight) giveBack(delay time.Duration, now time.Time) {
	f.mu.Lock()
	if f.state != held {
		f.mu.Unlock()
		return
	}
	f.state = settling
	lost := f.lost || f.revoked
	f.verdict = settlement{action: handler.Retry, delayed: true, delay: f.capDelay(delay, now), released: true}
	// An extension that is on its way must not hide the message again.
	f.verdict.waits = !lost && f.keep != nil && f.keep.sent
	waits := f.verdict.waits
	f.mu.Unlock()
	f.probe.started()
	f.probe.finished()
	f.lane.c.heap.Remove(&f.timer)
	if lost {
		f.lane.c.gone(f)
		return
	}
	if !waits {
		f.submit(now)
	}
}
