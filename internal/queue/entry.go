package queue

import (
	"maps"
	"time"
)

// An entry is a message in memory.
type entry struct {
	id         string
	body       []byte // its memory stays with the entry when that is freed
	attributes map[string]string
	group      *group // nil where the message's order does not matter
	groupName  string
	dedupeID   string
	extra      []byte
	source     string

	// These are by the engine's time.
	enqueuedAt, visibleAt int64
	// And these, which are told and not compared, by the wall clock.
	sentAt, firstReceived int64
	sequence              int64
	// delivery is the latest delivery's number, which no other delivery of the
	// engine has; 0 if there was none. A release gives it a number that nobody
	// has.
	delivery uint64
	// begin is the first delivery's number. The entry's receipts are those of its
	// slot from begin to delivery.
	begin uint64
	// receives counts the deliveries that were not released.
	receives int32
	earlier  int32 // in the queues that it was dead-lettered from; see Config.Lax
	slot     uint32
	// exhausted is true for a letter that was received often enough.
	exhausted bool
	// hidden is true while the entry is on the queue's hidden timeline.
	hidden bool

	links         [kinds]link
	older, newer  *entry // in the order of sequence
	ahead, behind *entry // in the group, in the order of sequence
}

// group is the messages of one group of an ordered queue.
type group struct {
	name        string
	first, last *entry
	// leased is how many of them are hidden because they were received. While
	// there are any the group is not ready.
	leased int
	// ready is the first, where that stands for the group on the queue's ready
	// timeline.
	ready *entry
	dirty bool
	spare *group
}

func (g *group) append(e *entry) {
	e.group, e.ahead = g, g.last
	if g.last == nil {
		g.first = e
	} else {
		g.last.behind = e
	}
	g.last = e
}

func (g *group) remove(e *entry) {
	if e.ahead == nil {
		g.first = e.behind
	} else {
		e.ahead.behind = e.behind
	}
	if e.behind == nil {
		g.last = e.ahead
	} else {
		e.behind.ahead = e.ahead
	}
	e.group, e.ahead, e.behind = nil, nil, nil
}

// readyAt is when the group's next messages became due: its first one's time,
// or that of the latest of those that were received before. They are at the
// front.
func (g *group) readyAt(lax bool) int64 {
	at := g.first.visibleAt
	if lax {
		return at // the others do not hold it up
	}
	for e := g.first; e != nil && e.delivery != 0; e = e.behind {
		at = max(at, e.visibleAt)
	}
	return at
}

// chunkSize is how many entries are allocated at once.
const chunkSize = 256

// slab allocates entries, and finds one by its slot. Entries that are freed
// are used again.
type slab struct {
	chunks []*[chunkSize]entry
	free   *entry
	live   int
}

func (s *slab) get() *entry {
	if s.free == nil {
		c := new([chunkSize]entry)
		base := len(s.chunks) * chunkSize
		s.chunks = append(s.chunks, c)
		for i := chunkSize - 1; i >= 0; i-- {
			c[i].slot = uint32(base + i) // 2^32 entries do not fit in memory
			c[i].newer, s.free = s.free, &c[i]
		}
	}
	e := s.free
	s.free, e.newer = e.newer, nil
	s.live++
	return e
}

func (s *slab) put(e *entry) {
	body := e.body[:0]
	if cap(body) > arenaBody {
		body = nil
	}
	*e = entry{slot: e.slot, newer: s.free, body: body}
	s.free = e
	// The memory of a backlog that was worked off goes back.
	if s.live--; s.live == 0 && len(s.chunks) > 16 {
		*s = slab{}
	}
}

// find returns the entry in the slot if its latest delivery is that one.
func (s *slab) find(slot, delivery uint64) *entry {
	if delivery == 0 || slot >= uint64(len(s.chunks))*chunkSize {
		return nil
	}
	e := &s.chunks[slot/chunkSize][slot%chunkSize]
	if e.delivery != delivery {
		return nil
	}
	return e
}

// findAny returns the entry in the slot if the delivery is any of its own.
func (s *slab) findAny(slot, delivery uint64) *entry {
	if delivery == 0 || slot >= uint64(len(s.chunks))*chunkSize {
		return nil
	}
	e := &s.chunks[slot/chunkSize][slot%chunkSize]
	if delivery < e.begin || delivery > e.delivery {
		return nil
	}
	return e
}

// message returns what the entry tells, sharing its memory.
func (e *entry) message(now moment) Message {
	m := Message{
		ID: e.id, Body: e.body, Attributes: e.attributes, Group: e.groupName, DedupeID: e.dedupeID,
		Extra: e.extra, Source: e.source, Exhausted: e.exhausted,
		EnqueuedAt: timeOf(e.sentAt), VisibleAt: now.show(e.visibleAt),
		Sequence: e.sequence, Receives: int(e.earlier + e.receives),
	}
	if e.firstReceived != 0 {
		m.FirstReceived = timeOf(e.firstReceived)
	}
	return m
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns) }

// An arena copies bodies for a batch, small ones into memory that they share:
// they are used and dropped together.
type arena struct{ free []byte }

const arenaBody = 2 << 10

// arenaNeeds is how much of an arena a copy of b takes.
func arenaNeeds(b []byte) int {
	if len(b) > arenaBody {
		return 0
	}
	return len(b)
}

func (a *arena) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(b) > arenaBody || len(b) > len(a.free) {
		return append(make([]byte, 0, len(b)), b...)
	}
	c := a.free[:len(b):len(b)]
	a.free = a.free[len(b):]
	copy(c, b)
	return c
}

// own makes m's memory its own.
func (m *Message) own(a *arena) {
	m.Body, m.Extra = a.copy(m.Body), a.copy(m.Extra)
	if len(m.Attributes) == 0 {
		m.Attributes = nil
	} else {
		m.Attributes = maps.Clone(m.Attributes)
	}
}
