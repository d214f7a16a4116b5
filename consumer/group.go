package consumer

import (
	"time"

	"github.com/sluice-go/sluice/consumer/internal/timer"
	"github.com/sluice-go/sluice/handler"
)

// group is the messages of one group that are here. One of them, the head, is
// ready, being handled or parked, or its verdict is on its way; the others wait.
// While the group is shut there is no head.
type group struct {
	key  string
	wait fifo[*flight]
	shut *shut
}

// shut is a group whose head was given back for a retry: the later ones that the
// provider hands out meanwhile wait until the head is here again, or its time
// has come. From then on order is the provider's.
type shut struct {
	lane  *lane
	group *group
	head  string // its message's ID
	timer timer.Item
}

// Fire implements timer.Owner: the head's time has come.
func (s *shut) Fire(time.Time) {
	c, g := s.lane.c, s.group
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.shut != s {
		return
	}
	g.shut = nil
	delete(s.lane.blocked, g.key)
	if !c.nextOf(g) {
		delete(s.lane.groups, g.key)
	}
	c.grant()
}

// groupOutcome is what a handled message means for the later ones of its group.
type groupOutcome uint8

const (
	groupFails  groupOutcome = iota // they go back unhandled
	groupLost                       // so do they, unless the message itself is among them again
	groupGoesOn                     // the next one's turn has come
	groupWaits                      // that is known when the message is settled, or run again
)

// blockade remembers a group whose head was given back for a retry: a provider
// that hands the later ones out meanwhile (Pub/Sub) would have them handled out
// of order.
type blockade struct {
	id    string // of the head
	until time.Time
}

// queue puts a flight that was received into its group. It reports whether its
// turn has come. c.mu is held.
func (l *lane) queue(f *flight, now time.Time) bool {
	if l.groups == nil || f.msg.Group == "" {
		return true
	}
	g := l.groups[f.msg.Group]
	if g == nil {
		g = &group{key: f.msg.Group}
		l.groups[g.key] = g
		f.group = g
		d := l.blockedFor(f, now)
		if d <= 0 {
			return true
		}
		g.shut = &shut{lane: l, group: g, head: l.blocked[g.key].id}
		g.shut.timer.Owner = g.shut
		l.c.heap.Set(&g.shut.timer, now.Add(d))
	} else {
		f.group = g
		if g.shut != nil && g.shut.head == f.msg.ID {
			l.open(g)
			delete(l.blocked, g.key)
			return true
		}
	}
	g.wait.push(f)
	l.c.beginWait(f)
	return false
}

// open ends a group's shutting. c.mu is held.
func (l *lane) open(g *group) {
	l.c.heap.Remove(&g.shut.timer)
	g.shut = nil
}

// blockedFor returns how long a received flight must wait because the head of its
// group waits for its retry. Zero is not at all. c.mu is held.
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

// keptOut returns how long a received flight must go back for, because the head
// of its group waits for its retry and there is no room to keep it here until
// then. Zero is not at all. c.mu is held.
func (l *lane) keptOut(f *flight, now time.Time) time.Duration {
	if len(l.blocked) == 0 {
		return 0
	}
	d := l.blockedFor(f, now)
	if l.c.stopping || d > maxShut || l.c.waiting > l.c.maxWaiting/2 {
		return d
	}
	return 0
}

// maxShut is how long messages are kept in hand that wait for a head that was
// given back.
const maxShut = 10 * time.Minute

// groupDone goes on with a flight's group. It returns the flights that are to go
// back unhandled. c.mu is held.
func (c *Consumer) groupDone(f *flight, o groupOutcome, delay time.Duration) []*flight {
	g, l := f.group, f.lane
	if g == nil || o == groupWaits {
		return nil
	}
	if o == groupLost && g.wait.toFront(func(other *flight) bool { return other.msg.ID == f.msg.ID }) {
		o = groupGoesOn // it was delivered again, to us
	}
	if o == groupGoesOn {
		if !c.nextOf(g) {
			delete(l.groups, g.key)
		}
		return nil
	}
	delete(l.groups, g.key)
	if delay > 0 {
		if len(l.blocked) >= maxBlocked {
			clear(l.blocked)
		}
		l.blocked[g.key] = blockade{id: f.msg.ID, until: time.Now().Add(delay)}
	}
	return c.drainGroup(g)
}

// nextOf gives the next message of a group its turn. It reports false if there
// is none. c.mu is held.
func (c *Consumer) nextOf(g *group) bool {
	if g.wait.len() == 0 {
		return false
	}
	next := g.wait.pop()
	c.endWait(next)
	c.enqueue(next)
	c.wake()
	return true
}

// drainGroup takes out the messages that wait for their turn in g. c.mu is held.
func (c *Consumer) drainGroup(g *group) []*flight {
	back := g.wait.drain()
	c.endWait(back...)
	if g.shut != nil {
		l := g.shut.lane
		l.open(g)
		delete(l.groups, g.key)
	}
	return back
}

// enqueue has a flight whose turn has come run as soon as a worker is free. It
// takes a slot, over the limit if need be: it is no new message, and receiving
// pauses until the slot is paid back. c.mu is held.
func (c *Consumer) enqueue(f *flight) {
	if c.suspect(f) {
		c.setAside(f)
		return
	}
	f.lane.used++
	c.free--
	c.ready.push(f)
}

// shed gives a waiting flight back whose lease can't be kept any longer, and
// with it what waits in its group: none of it may overtake it.
func (f *flight) shed() {
	c := f.lane.c
	var back []*flight
	c.mu.Lock()
	if f.group != nil && f.group.wait.has(f) {
		back = c.drainGroup(f.group)
		c.grant()
	}
	c.mu.Unlock()
	if back == nil { // its turn has come, or comes now
		f.mu.Lock()
		if f.state == held && !f.lost {
			c.heap.Set(&f.timer, f.deadline)
		}
		f.mu.Unlock()
	}
	c.release(back)
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
	c.flushRetries()
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
	f.verdict = settlement{action: handler.ActionRetry, delayed: true, delay: f.capDelay(delay, now), released: true}
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
