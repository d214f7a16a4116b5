package queue

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// memQueue is a queue in memory. The engine's mutex guards it.
//
// An entry that cannot be received yet is on the hidden timeline. One that can
// is on the ready timeline, unless it is of a group of an ordered queue: then
// the group's first entry is there for the whole group, as long as no message
// of the group is leased.
type memQueue struct {
	engine  *Memory
	name    string
	config  Config
	created time.Time
	removed bool
	bell    store.Bell

	slab           slab
	oldest, newest *entry // in the order of sequence
	sequence       int64
	hidden, ready  timeline
	age            timeline
	inFlight       int64 // hidden by a receive
	delayed        int64 // hidden since they were sent

	groups map[string]*group
	spare  *group
	dirty  []*group

	seen     seen
	attempts attempts

	moves []*memTask // oldest first
	// cursor is the next entry that the running task looks at.
	cursor *entry
}

// advance makes due messages ready and removes expired ones. Every operation
// begins with it.
func (q *memQueue) advance(now int64) {
	for e := q.hidden.first(); e != nil && q.hidden.at(e) <= now; e = q.hidden.first() {
		q.unhide(e)
		q.show(e)
	}
	for e := q.age.first(); e != nil && store.Later(e.enqueuedAt, q.config.Retention) <= now; e = q.age.first() {
		q.remove(e)
	}
	q.flush()
}

// nextEvent is when advance will have something to do.
func (q *memQueue) nextEvent() int64 {
	next := int64(math.MaxInt64)
	if e := q.hidden.first(); e != nil {
		next = q.hidden.at(e)
	}
	if e := q.age.first(); e != nil {
		next = min(next, store.Later(e.enqueuedAt, q.config.Retention))
	}
	return next
}

// hide takes an entry that is on no timeline of when it is due.
func (q *memQueue) hide(e *entry, until int64) {
	e.visibleAt, e.hidden = until, true
	q.hidden.insert(e, until)
	if e.delivery == 0 {
		q.delayed++
	} else {
		q.inFlight++
		if e.group != nil {
			e.group.leased++
			q.mark(e.group)
		}
	}
	if until < q.bell.Alarm {
		q.bell.Ring()
	}
}

func (q *memQueue) unhide(e *entry) {
	q.hidden.remove(e)
	e.hidden = false
	if e.delivery == 0 {
		q.delayed--
		return
	}
	q.inFlight--
	if e.group != nil {
		e.group.leased--
	}
}

// show makes an entry that is not hidden available.
func (q *memQueue) show(e *entry) {
	if e.group != nil {
		q.mark(e.group)
		return
	}
	q.ready.insert(e, e.visibleAt)
	q.bell.Ring()
}

// place hides the entry until then, or shows it.
func (q *memQueue) place(e *entry, visibleAt, now int64) {
	if visibleAt > now {
		q.hide(e, visibleAt)
		return
	}
	e.visibleAt = visibleAt
	q.show(e)
}

// mark has flush look at the group.
func (q *memQueue) mark(g *group) {
	if !g.dirty {
		g.dirty = true
		q.dirty = append(q.dirty, g)
	}
}

// flush brings the groups that something happened to up to date. Every
// operation ends with it.
func (q *memQueue) flush() {
	for _, g := range q.dirty {
		g.dirty = false
		if g.ready != nil {
			q.ready.remove(g.ready)
			g.ready = nil
		}
		switch {
		case g.first == nil:
			delete(q.groups, g.name)
			*g = group{spare: q.spare}
			q.spare = g
		case (g.leased == 0 || q.config.Lax) && !g.first.hidden:
			g.ready = g.first
			q.ready.insert(g.first, g.readyAt(q.config.Lax))
			q.bell.Ring()
		}
	}
	q.dirty = q.dirty[:0]
}

// join puts the entry into its group, if the queue keeps order.
func (q *memQueue) join(e *entry) {
	if !q.config.Ordered || e.groupName == "" {
		return
	}
	g := q.groups[e.groupName]
	if g == nil {
		if g = q.spare; g != nil {
			q.spare, g.spare = g.spare, nil
		} else {
			g = &group{}
		}
		g.name = e.groupName
		q.groups[g.name] = g
	}
	g.append(e)
}

// add stores a new entry. Its sequence is set here.
func (q *memQueue) add(e *entry, visibleAt, now int64) {
	q.sequence++
	e.sequence = q.sequence
	e.older = q.newest
	if q.newest == nil {
		q.oldest = e
	} else {
		q.newest.newer = e
	}
	q.newest = e
	q.age.insert(e, e.enqueuedAt)
	q.join(e)
	q.place(e, visibleAt, now)
}

// remove takes the entry out and frees it.
func (q *memQueue) remove(e *entry) {
	if e.hidden {
		q.unhide(e)
	} else if q.ready.has(e) {
		q.ready.remove(e)
	}
	if g := e.group; g != nil {
		if g.ready == e {
			g.ready = nil
		}
		g.remove(e)
		q.mark(g)
	}
	q.age.remove(e)
	if q.cursor == e {
		q.cursor = e.newer
	}
	if e.older == nil {
		q.oldest = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		q.newest = e.older
	} else {
		e.newer.older = e.older
	}
	q.slab.put(e)
}

// transfer moves the entry to a queue, as a new message of it that can be
// received immediately. source is the queue that a dead letter came from; it is
// empty if a task moves the message.
func (q *memQueue) transfer(e *entry, to *memQueue, now int64, attributes map[string]string, source string) *entry {
	c := to.slab.get()
	c.body, e.body = e.body, c.body
	c.id, c.attributes, c.extra = e.id, attributes, e.extra
	c.groupName, c.dedupeID, c.source = e.groupName, e.dedupeID, source
	c.enqueuedAt, c.sentAt = now, q.engine.moment.Wall()
	if source != "" && !q.config.Ordered {
		c.enqueuedAt, c.sentAt = e.enqueuedAt, e.sentAt
	}
	if q.config.Lax {
		if source == "" {
			c.id = string(store.AppendID(nil))
		} else {
			c.earlier, c.firstReceived = e.earlier+e.receives, e.firstReceived
			if to.config.Ordered {
				c.dedupeID = e.id
			}
		}
	}
	q.remove(e)
	to.add(c, now, now)
	if to != q { // whose groups are being taken from
		to.flush()
	}
	return c
}

// deadLetters returns the queue that dead letters go to, or nil.
func (q *memQueue) deadLetters() *memQueue {
	if q.config.DeadLetter == "" {
		return nil
	}
	return q.engine.queues[q.config.DeadLetter]
}

// take picks up to n entries to deliver and takes them off the ready timeline.
// Those that were received often enough are dead-lettered instead.
func (q *memQueue) take(now int64, n int, spread bool) []*entry {
	taken := q.engine.taken[:0]
	var rest []*entry // where groups that were taken from go on
	for len(taken) < n {
		e := q.ready.first()
		if e == nil {
			break
		}
		if e.group == nil {
			q.ready.remove(e)
			if !q.exhausted(e, now) {
				taken = append(taken, e)
			}
			continue
		}
		q.ready.remove(e)
		e.group.ready = nil
		q.mark(e.group)
		limit := n
		if spread {
			limit = len(taken) + 1
		}
		taken, e = q.takeGroup(taken, e, limit, now)
		if e != nil {
			rest = append(rest, e)
		}
	}
	for len(rest) > 0 && len(taken) < n {
		more := rest[:0]
		for _, e := range rest {
			if len(taken) == n {
				break
			}
			if taken, e = q.takeGroup(taken, e, len(taken)+1, now); e != nil {
				more = append(more, e)
			}
		}
		rest = more
	}
	q.engine.taken = taken
	return taken
}

// takeGroup takes entries of a group from e on, until there are limit, and
// returns where to go on, or nil.
func (q *memQueue) takeGroup(taken []*entry, e *entry, limit int, now int64) ([]*entry, *entry) {
	for e != nil && !e.hidden && len(taken) < limit {
		behind := e.behind
		if !q.exhausted(e, now) {
			taken = append(taken, e)
		}
		e = behind
	}
	if e == nil || e.hidden {
		return taken, nil
	}
	return taken, e
}

// exhausted dead-letters an entry that was received often enough.
func (q *memQueue) exhausted(e *entry, now int64) bool {
	if q.config.MaxReceives == 0 || int(e.receives) < q.config.MaxReceives {
		return false
	}
	to := q.deadLetters()
	if to == nil {
		return false
	}
	q.transfer(e, to, now, e.attributes, q.name).exhausted = true
	return true
}

// deliver leases the entries that were taken. It answers in into if there is
// room.
func (q *memQueue) deliver(taken []*entry, now int64, visibility time.Duration, into []Received) []Received {
	size := 0
	for _, e := range taken {
		size += arenaNeeds(e.body) + arenaNeeds(e.extra)
	}
	memory := arena{make([]byte, size)}
	var receipts strings.Builder
	receipts.Grow(len(taken) * store.ReceiptSize)
	var scratch [store.ReceiptSize]byte
	out := slices.Grow(into[:0], len(taken))[:len(taken)]
	until := store.Later(now, visibility)
	for i, e := range taken {
		e.receives++
		if e.firstReceived == 0 {
			e.firstReceived = q.engine.moment.Wall()
		}
		e.delivery = q.engine.nextDelivery()
		if e.begin == 0 {
			e.begin = e.delivery
		}
		q.place(e, until, now)
		receipts.Write(store.AppendReceipt(scratch[:0], uint64(e.slot), e.delivery))
		out[i].Message = e.message(q.engine.moment)
		memory.own(&out[i].Message)
		out[i].Deadline = q.engine.moment.Show(until)
	}
	all := receipts.String()
	for i := range out {
		out[i].Receipt, all = all[:store.ReceiptSize], all[store.ReceiptSize:]
	}
	return out
}

// find returns the entry that the receipt is good for, or nil.
func (q *memQueue) find(receipt string) *entry {
	slot, delivery, ok := store.ParseReceipt(receipt)
	if !ok {
		return nil
	}
	return q.slab.find(slot, delivery)
}

// findAny returns the entry that the receipt was made for, and whether it is the
// receipt of its latest delivery.
func (q *memQueue) findAny(receipt string) (e *entry, newest bool, err error) {
	slot, delivery, ok := store.ParseReceipt(receipt)
	if !ok {
		return nil, false, ErrReceipt
	}
	if e = q.slab.findAny(slot, delivery); e == nil {
		return nil, false, ErrGone
	}
	return e, e.delivery == delivery, nil
}

// change sets the lease of an entry that is hidden, or of one that belongs to no
// group.
func (q *memQueue) change(e *entry, until, now int64) {
	if e.hidden {
		q.unhide(e)
	} else {
		q.ready.remove(e)
	}
	q.place(e, max(until, now), now)
}

// release takes the entry's latest delivery back.
func (q *memQueue) release(e *entry, by time.Duration, now int64) {
	e.receives--
	if e.receives+e.earlier == 0 {
		e.firstReceived = 0
	}
	e.delivery = q.engine.nextDelivery()
	if e.hidden && by >= 0 {
		q.change(e, store.Later(now, by), now)
	}
}

// reshape rearranges the entries after the queue became ordered or unordered.
func (q *memQueue) reshape() {
	q.hidden, q.ready = timeline{kind: byDue}, timeline{kind: byDue}
	q.inFlight, q.delayed = 0, 0
	q.groups, q.spare = map[string]*group{}, nil
	for e := q.oldest; e != nil; e = e.newer {
		e.links[byDue] = link{}
		e.group, e.ahead, e.behind = nil, nil, nil
		q.join(e)
		if e.hidden {
			q.hide(e, e.visibleAt)
		} else {
			q.show(e)
		}
	}
	q.flush()
}

// stats counts without looking at the messages.
func (q *memQueue) stats() Stats {
	s := Stats{InFlight: q.inFlight, Delayed: q.delayed}
	s.Visible = int64(q.slab.live) - q.inFlight - q.delayed
	if e := q.age.first(); e != nil {
		s.Oldest = q.engine.moment.Show(e.enqueuedAt)
		s.OldestAge = time.Duration(max(q.engine.moment.At-e.enqueuedAt, 0))
	}
	return s
}

// send stores m without its attributes, unless it is a duplicate, and completes
// it.
func (q *memQueue) send(m *Message, now int64) *entry {
	dedupe := q.config.DedupeWindow > 0 && m.DedupeID != ""
	key := dedupeKey{q.config.DedupeScope(m.Group), m.DedupeID}
	m.Receives, m.FirstReceived, m.Source, m.Exhausted = 0, time.Time{}, "", false
	if dedupe && !m.Again {
		if first, ok := q.seen.find(key, now, q.config.DedupeWindow); ok {
			m.ID, m.Sequence = first.id, first.sequence
			m.EnqueuedAt = q.engine.moment.Show(first.enqueuedAt)
			m.VisibleAt = m.EnqueuedAt
			return nil
		}
	}
	delay := m.Delay
	if delay < 0 {
		delay = q.config.Delay
	}
	e := q.slab.get()
	e.id, e.body = m.ID, append(e.body, m.Body...)
	if len(m.Extra) > 0 {
		e.extra = bytes.Clone(m.Extra)
	}
	e.groupName, e.dedupeID, e.enqueuedAt, e.sentAt = m.Group, m.DedupeID, now, q.engine.moment.Wall()
	q.add(e, store.Later(now, delay), now)
	m.Sequence = e.sequence
	m.EnqueuedAt, m.VisibleAt = store.TimeOf(e.sentAt), q.engine.moment.Show(e.visibleAt)
	if dedupe {
		q.seen.remember(key, sent{e.id, e.sequence, now})
	}
	return e
}

func (q *memQueue) receive(now int64, r *ReceiveRequest) []Received {
	visibility := r.Visibility
	if visibility < 0 {
		visibility = q.config.Visibility
	}
	q.attempts.forget(now)
	if r.AttemptID != "" {
		if out := q.repeat(r.AttemptID, now, visibility); out != nil {
			return out
		}
	}
	taken := q.take(now, max(r.Max, 1), r.Spread)
	defer clear(taken)
	defer q.flush()
	if len(taken) == 0 {
		return nil
	}
	out := q.deliver(taken, now, visibility, r.Into)
	if r.AttemptID != "" {
		q.attempts.keep(r.AttemptID, taken, now)
	}
	return out
}

// movable is true for an entry that can be received, and whose group has none
// before it.
func (q *memQueue) movable(e *entry) bool {
	return !e.hidden && (e.group == nil || e.ahead == nil && (e.group.leased == 0 || q.config.Lax))
}

// repeat returns the entries of an earlier receive with the same attempt ID, if
// all of them are still as it left them. Their leases restart.
func (q *memQueue) repeat(id string, now int64, visibility time.Duration) []Received {
	a, ok := q.attempts.find(id, now)
	if !ok {
		return nil
	}
	for _, d := range a.deliveries {
		e := q.slab.find(d.slot, d.delivery)
		if e == nil || !e.hidden || e.visibleAt != d.visibleAt {
			return nil
		}
	}
	out := make([]Received, len(a.deliveries))
	until := store.Later(now, visibility)
	for i := range a.deliveries {
		d := &a.deliveries[i]
		e := q.slab.find(d.slot, d.delivery)
		q.change(e, until, now)
		d.visibleAt = e.visibleAt
		out[i] = Received{
			Message:  e.message(q.engine.moment),
			Receipt:  string(store.AppendReceipt(nil, d.slot, d.delivery)),
			Deadline: q.engine.moment.Show(until),
		}
		(&arena{}).own(&out[i].Message)
	}
	return out
}
