package queue

// A timeline keeps entries in the order of a time and, for equal times, of
// their sequence. Times mostly come in their order (sends, leases of one
// length), so an entry that is later than all the listed goes to the end of a
// list, at no cost whatever the length; the others go to a heap. The first is
// the earlier of the two fronts.
//
// An entry has one link of each kind, so it is on one timeline of that kind at
// a time.
type timeline struct {
	kind       int
	head, tail *entry
	heap       []heaped
}

// The kinds of timelines.
const (
	byDue = iota // when it can be received, or, for a group's head, when the group can
	byAge        // when it was enqueued
	kinds
)

// link is an entry's place on a timeline.
type link struct {
	at         int64
	prev, next *entry
	// place is 0 for none, inList, or the index in the heap plus 1.
	place int32
}

const inList = -1

// heaped repeats what is compared, so that ordering the heap does not touch
// the entries' memory.
type heaped struct {
	at, sequence int64
	e            *entry
}

func (a *heaped) before(b *heaped) bool {
	return a.at < b.at || a.at == b.at && a.sequence < b.sequence
}

// first returns the earliest entry, or nil.
func (t *timeline) first() *entry {
	if len(t.heap) == 0 {
		return t.head
	}
	h := &t.heap[0]
	if t.head == nil || h.before(&heaped{t.head.links[t.kind].at, t.head.sequence, nil}) {
		return h.e
	}
	return t.head
}

// at returns the time of an entry that is on the timeline.
func (t *timeline) at(e *entry) int64 { return e.links[t.kind].at }

func (t *timeline) has(e *entry) bool { return e.links[t.kind].place != 0 }

func (t *timeline) insert(e *entry, at int64) {
	l := &e.links[t.kind]
	l.at = at
	if t.tail != nil {
		last := heaped{t.tail.links[t.kind].at, t.tail.sequence, nil}
		if h := (heaped{at, e.sequence, e}); h.before(&last) {
			t.heap = append(t.heap, h)
			t.up(len(t.heap) - 1)
			return
		}
		t.tail.links[t.kind].next = e
	} else {
		t.head = e
	}
	l.prev, l.next, l.place = t.tail, nil, inList
	t.tail = e
}

func (t *timeline) remove(e *entry) {
	l := &e.links[t.kind]
	if l.place == inList {
		if l.prev == nil {
			t.head = l.next
		} else {
			l.prev.links[t.kind].next = l.next
		}
		if l.next == nil {
			t.tail = l.prev
		} else {
			l.next.links[t.kind].prev = l.prev
		}
	} else {
		t.removeHeaped(int(l.place) - 1)
	}
	l.prev, l.next, l.place = nil, nil, 0
}

// The heap has four children a node: half as many levels as with two.
const arity = 4

func (t *timeline) set(i int, h heaped) {
	t.heap[i] = h
	h.e.links[t.kind].place = int32(i) + 1 // 2^31 entries do not fit in memory
}

func (t *timeline) up(i int) {
	h := t.heap[i]
	for i > 0 {
		parent := (i - 1) / arity
		if !h.before(&t.heap[parent]) {
			break
		}
		t.set(i, t.heap[parent])
		i = parent
	}
	t.set(i, h)
}

func (t *timeline) down(i int) {
	h := t.heap[i]
	for {
		least := i*arity + 1
		if least >= len(t.heap) {
			break
		}
		for c := least + 1; c < min(least+arity, len(t.heap)); c++ {
			if t.heap[c].before(&t.heap[least]) {
				least = c
			}
		}
		if !t.heap[least].before(&h) {
			break
		}
		t.set(i, t.heap[least])
		i = least
	}
	t.set(i, h)
}

func (t *timeline) removeHeaped(i int) {
	last := len(t.heap) - 1
	moved := t.heap[last]
	t.heap[last] = heaped{}
	t.heap = t.heap[:last]
	if i == last {
		return
	}
	t.heap[i] = moved
	if i > 0 && moved.before(&t.heap[(i-1)/arity]) {
		t.up(i)
	} else {
		t.down(i)
	}
}
