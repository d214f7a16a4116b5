package queue

import "time"

// fifo is a queue of plain values that frees what was taken from it.
type fifo[T any] struct {
	items []T
	begin int
}

func (f *fifo[T]) push(v T) { f.items = append(f.items, v) }

func (f *fifo[T]) front() *T {
	if f.begin == len(f.items) {
		return nil
	}
	return &f.items[f.begin]
}

func (f *fifo[T]) pop() {
	var none T
	f.items[f.begin] = none
	if f.begin++; f.begin*2 >= len(f.items) {
		n := copy(f.items, f.items[f.begin:])
		clear(f.items[n:])
		f.items, f.begin = f.items[:n], 0
	}
}

// dedupeKey is what must not be sent twice.
type dedupeKey struct{ scope, id string }

// sent is what is remembered of a message for its dedupe ID's sake.
type sent struct {
	id         string
	sequence   int64
	enqueuedAt int64
}

func (q *memQueue) remember(k dedupeKey, s sent) {
	if q.seen == nil {
		q.seen = map[dedupeKey]sent{}
	}
	q.seen[k] = s
	q.seenLog.push(k)
}

// forget drops dedupe IDs whose window has ended.
func (q *memQueue) forget(now int64) {
	for k := q.seenLog.front(); k != nil; k = q.seenLog.front() {
		if s, ok := q.seen[*k]; ok {
			if later(s.enqueuedAt, q.config.DedupeWindow) > now {
				return
			}
			delete(q.seen, *k)
		}
		q.seenLog.pop()
	}
}

// attemptWindow is how long a receive can be repeated.
const attemptWindow = 5 * time.Minute

// attempt is a receive that can be repeated.
type attempt struct {
	at         int64
	deliveries []attemptDelivery
}

type attemptDelivery struct {
	slot, delivery uint64
	visibleAt      int64
}

// repeat returns the entries of an earlier receive with the same attempt ID, if
// all of them are still as it left them. Their leases begin anew.
func (q *memQueue) repeat(id string, now int64, visibility time.Duration) []Received {
	a, ok := q.attempts[id]
	if !ok || later(a.at, attemptWindow) <= now {
		return nil
	}
	for _, d := range a.deliveries {
		e := q.slab.find(d.slot, d.delivery)
		if e == nil || !e.hidden || e.visibleAt != d.visibleAt {
			return nil
		}
	}
	out := make([]Received, len(a.deliveries))
	until := later(now, visibility)
	for i := range a.deliveries {
		d := &a.deliveries[i]
		e := q.slab.find(d.slot, d.delivery)
		q.change(e, until, now)
		d.visibleAt = e.visibleAt
		out[i] = Received{
			Message:  e.message(q.engine.moment),
			Receipt:  string(appendReceipt(nil, d.slot, d.delivery)),
			Deadline: q.engine.moment.show(until),
		}
		out[i].own(&arena{})
	}
	return out
}

func (q *memQueue) tryAgain(id string, taken []*entry, now int64) {
	a := attempt{at: now, deliveries: make([]attemptDelivery, len(taken))}
	for i, e := range taken {
		a.deliveries[i] = attemptDelivery{uint64(e.slot), e.delivery, e.visibleAt}
	}
	if q.attempts == nil {
		q.attempts = map[string]attempt{}
	}
	if _, ok := q.attempts[id]; !ok {
		q.tried.push(id)
	}
	q.attempts[id] = a
}

// forgetAttempts drops receives that cannot be repeated any more.
func (q *memQueue) forgetAttempts(now int64) {
	for id := q.tried.front(); id != nil; id = q.tried.front() {
		if a := q.attempts[*id]; later(a.at, attemptWindow) > now {
			return
		}
		delete(q.attempts, *id)
		q.tried.pop()
	}
}
