package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/timer"
)

const (
	// maxShut is the longest time that messages wait for the head of their group
	// after it was released.
	maxShut = 10 * time.Minute
	// maxBlocked limits the number of recorded groups whose head was released.
	// Beyond it only the provider keeps the order.
	maxBlocked = 10_000
)

// groups keeps the order of an ordered source's groups. It is guarded by
// Consumer.mu.
//
// Invariant: of each group at most one delivery, the head, is ready, running,
// parked or settling with a verdict that its group waits for; the others wait in
// group.wait in the order of their receive. A group is in byKey exactly while it has
// a head or is shut. Each step takes constant time, except that a lost head is
// looked for among its group's messages.
type groups struct {
	source  *source
	byKey   map[string]*group   // nil if the source is not ordered
	blocked map[string]blockade // groups whose head was given back for a retry
}

// A group is the held messages of one group. While it is shut it has no head.
type group struct {
	key  string
	wait fifo[*delivery]
	shut *shut
}

// The head of a shut group was released for a retry. The later messages that the
// provider delivers meanwhile wait until the head is here again, or its time has
// come. From then on the provider keeps the order.
type shut struct {
	source *source
	group  *group
	head   string // its message's ID
	timer.Item
}

// Fire implements timer.Owner: the head's time has come.
func (s *shut) Fire(time.Time) {
	s.source.groups.headOverdue(s)
}

// A groupOutcome is the effect of a handled message on the later ones of its group.
// The zero groupOutcome gives them back, which is the cautious effect.
type groupOutcome uint8

const (
	groupNacked   groupOutcome = iota // they are given back unhandled
	groupHeadLost                     // the same, unless the message itself is among them again
	groupAdvances                     // the next one's turn has come
	groupWaits                        // decided later, when the message is settled or runs again
)

// A blockade records a group whose head was released for a retry. If the provider
// delivers later messages meanwhile, as Pub/Sub may, they must not be handled out
// of order.
type blockade struct {
	id    string // of the head
	until time.Time
}

func newGroups(s *source, ordered bool) groups {
	g := groups{source: s}
	if ordered {
		g.byKey = make(map[string]*group)
		g.blocked = make(map[string]blockade)
	}
	return g
}

// ordered reports whether the source keeps groups in order.
func (g *groups) ordered() bool { return g.byKey != nil }

// admit puts a received delivery into its group. It reports whether its turn has
// come. Consumer.mu is held.
func (g *groups) admit(d *delivery, now time.Time) bool {
	if !g.ordered() || d.msg.Group == "" {
		return true
	}
	c := g.source.c
	one := g.byKey[d.msg.Group]
	if one == nil {
		one = &group{key: d.msg.Group}
		g.byKey[one.key] = one
		d.group = one
		wait := g.blockedFor(d, now)
		if wait <= 0 {
			return true
		}
		one.shut = &shut{source: g.source, group: one, head: g.blocked[one.key].id}
		c.shuts.Set(one.shut, now.Add(wait))
	} else {
		d.group = one
		if one.shut != nil && one.shut.head == d.msg.ID {
			g.open(one)
			delete(g.blocked, one.key)
			return true
		}
	}
	one.wait.push(d)
	c.hand.beginWait(d)
	return false
}

// open ends a group's shutting. Consumer.mu is held.
func (g *groups) open(one *group) {
	g.source.c.shuts.Remove(one.shut)
	one.shut = nil
}

// headOverdue opens a group whose head was not redelivered in time. Consumer.mu
// is not held.
func (g *groups) headOverdue(s *shut) {
	c := g.source.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.group.shut != s {
		return
	}
	s.group.shut = nil
	delete(g.blocked, s.group.key)
	g.advance(s.group)
	c.slots.grant()
}

// blockedFor returns how long a received delivery must wait because the head of its
// group waits for its retry; zero if it need not. Consumer.mu is held.
func (g *groups) blockedFor(d *delivery, now time.Time) time.Duration {
	if len(g.blocked) == 0 || d.msg.Group == "" {
		return 0
	}
	b, ok := g.blocked[d.msg.Group]
	if !ok {
		return 0
	}
	wait := b.until.Sub(now)
	if wait <= 0 || b.id == d.msg.ID {
		delete(g.blocked, d.msg.Group)
		return 0
	}
	return wait
}

// nackDelay returns the delay with which a received delivery must be released,
// because the head of its group waits for its retry and there is no room to hold
// the delivery until then. It returns zero if the delivery can be held.
// Consumer.mu is held.
func (g *groups) nackDelay(d *delivery, now time.Time) time.Duration {
	if len(g.blocked) == 0 {
		return 0
	}
	c := g.source.c
	wait := g.blockedFor(d, now)
	if c.drain.stopping || wait > maxShut || c.hand.waiting > c.hand.maxWaiting/2 {
		return wait
	}
	return 0
}

// resolve applies an outcome to a delivery's group. It returns the deliveries to
// nack once Consumer.mu is unlocked. delay is that of the head's retry. Consumer.mu
// is held.
func (g *groups) resolve(d *delivery, o groupOutcome, delay time.Duration) []*delivery {
	one := d.group
	if one == nil || o == groupWaits {
		return nil
	}
	if o == groupHeadLost && one.wait.moveToFront(func(other *delivery) bool { return other.msg.ID == d.msg.ID }) {
		o = groupAdvances // it was delivered again, to this consumer
	}
	if o == groupAdvances {
		g.advance(one)
		return nil
	}
	delete(g.byKey, one.key)
	if delay > 0 {
		if len(g.blocked) >= maxBlocked {
			clear(g.blocked)
		}
		g.blocked[one.key] = blockade{id: d.msg.ID, until: time.Now().Add(delay)}
	}
	return g.takeWaiting(one)
}

// advance gives the next message of a group its turn, or removes the group if there
// is none. Consumer.mu is held.
func (g *groups) advance(one *group) {
	if one.wait.len() == 0 {
		delete(g.byKey, one.key)
		return
	}
	c := g.source.c
	next := one.wait.pop()
	c.hand.endWait(next)
	c.workers.enqueue(next, time.Now())
	c.workers.wake()
}

// takeWaiting removes and returns the messages that wait for their turn in a group.
// Consumer.mu is held.
func (g *groups) takeWaiting(one *group) []*delivery {
	ds := one.wait.takeAll()
	g.source.c.hand.endWait(ds...)
	if one.shut != nil {
		g.open(one)
		delete(g.byKey, one.key)
	}
	return ds
}

// takeAllWaiting removes and returns the messages that wait in any group.
// Consumer.mu is held.
func (g *groups) takeAllWaiting() []*delivery {
	var ds []*delivery
	for _, one := range g.byKey {
		ds = append(ds, g.takeWaiting(one)...)
	}
	return ds
}

// takeLate removes and returns the messages whose head is not back in time for a
// drain. Consumer.mu is held.
func (g *groups) takeLate() []*delivery {
	var ds []*delivery
	for _, one := range g.byKey {
		if one.shut != nil && !g.source.c.drain.inTime(g.source, g.blocked[one.key].until) {
			ds = append(ds, g.takeWaiting(one)...)
		}
	}
	return ds
}

// nackExpiring releases a waiting delivery whose lease cannot be extended further, and
// the messages that wait in its group: none may overtake the delivery. Consumer.mu is not
// held.
func (g *groups) nackExpiring(d *delivery) {
	c := g.source.c
	var back []*delivery
	c.mu.Lock()
	if d.group != nil && d.group.wait.has(d) {
		back = g.takeWaiting(d.group)
		c.slots.grant()
	}
	c.mu.Unlock()
	if back == nil { // its turn has come, or comes now
		d.mu.Lock()
		if d.state == held && !d.lease.lost {
			c.heap.Set(d, d.lease.deadline.time())
		}
		d.mu.Unlock()
	}
	c.nack(back)
}

// settled applies the end of a settlement to the delivery's group, if the group
// waits for it: that of an ack or a dead letter. Consumer.mu is not held.
func (g *groups) settled(d *delivery, ok bool) {
	if d.group == nil || d.verdict.action == handler.ActionRetry {
		return
	}
	o, delay := groupAdvances, time.Duration(0)
	if !ok {
		// It is delivered again when its lease ends; the later ones must not be
		// handled before it.
		o = groupHeadLost
		if left := d.leaseLeft(time.Now()); left != endless {
			delay = left
		}
	}
	c := g.source.c
	c.mu.Lock()
	back := g.resolve(d, o, delay)
	c.slots.grant()
	c.mu.Unlock()
	c.nack(back)
}
