// Package timer tracks very many deadlines with one timer: a heap of their owners, of
// which only the earliest is armed. Setting, moving and removing one costs a lock and a
// few swaps, no goroutine and no allocation, so that every lease of a consumer can have
// its own deadline.
package timer

import (
	"sync"
	"time"
)

// An Owner has one deadline in a [Heap]. It embeds an [Item].
type Owner interface {
	TimerItem() *Item
	// Fire is called once each time the owner was set and became due. now is
	// read shortly before. It is called on the heap's goroutine, one owner after
	// the other and with no lock held: it may set and remove owners, itself as
	// well, and must not block.
	Fire(now time.Time)
}

// An Item is its owner's place in a heap. It must not be copied while the owner is set.
type Item struct {
	pos int32 // the index in the heap plus one; zero is not in the heap
}

// TimerItem implements [Owner] for what embeds the item.
func (it *Item) TimerItem() *Item { return it }

// A Heap fires owners when they are due. Make one with [New]. Its methods may be
// called concurrently.
//
// It is a binary heap on one slice. Invariants: no node is earlier than its parent;
// the pos of an owner's item is its node's index plus one; unless run is at work, the
// timer is armed for the earliest node, or for an earlier time. Set and Remove take time
// logarithmic in the number of owners; the standard library's container/heap would
// cost an interface call for each comparison on the hottest path of the consumer.
type Heap[O Owner] struct {
	base time.Time

	mu      sync.Mutex
	nodes   []node[O]
	timer   *time.Timer
	armed   int64 // the time for which timer is set; never if it is not
	running bool  // run is at work, and arms the timer when it ends
	closed  bool
	idle    sync.Cond // signalled when running ends

	due []O // run's own
}

// node keeps the time beside the owner, so that comparing touches no other
// memory.
type node[O Owner] struct {
	at    int64 // since base
	owner O
}

const never = int64(1<<63 - 1)

// New returns an empty heap.
func New[O Owner]() *Heap[O] {
	h := &Heap[O]{base: time.Now(), armed: never}
	h.idle.L = &h.mu
	return h
}

// Set makes the owner fire at the given time, which replaces any time set before. One
// whose time has passed fires immediately. After [Heap.Close] Set does nothing.
//
// at should have a monotonic reading. A time without one is converted by the wall
// clock of this moment, so that a later step of that clock does not move it.
func (h *Heap[O]) Set(o O, at time.Time) {
	t := h.moment(at)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.set(o, t)
	h.arm()
}

// SetAll sets owners as Set does, under one lock, to the times that when returns for
// them. It leaves out those for which ok is false. when must not use the heap.
func (h *Heap[O]) SetAll(os []O, when func(o O) (at time.Time, ok bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	for _, o := range os {
		if at, ok := when(o); ok {
			h.set(o, h.moment(at))
		}
	}
	h.arm()
}

// moment returns a time as nanoseconds since base.
func (h *Heap[O]) moment(at time.Time) int64 {
	if at == at.Round(0) { //nolint:staticcheck // Equal ignores the monotonic reading, which Round strips
		now := time.Now()
		at = now.Add(at.Sub(now))
	}
	return int64(at.Sub(h.base))
}

// set sets an owner. h.mu is held, and the caller calls arm.
func (h *Heap[O]) set(o O, t int64) {
	if pos := o.TimerItem().pos; pos != 0 {
		i := int(pos - 1)
		h.nodes[i].at = t
		if !h.up(i) {
			h.down(i)
		}
	} else {
		h.nodes = append(h.nodes, node[O]{t, o})
		h.up(len(h.nodes) - 1)
	}
}

// Remove removes the owner, which does not fire from now on, unless it is firing
// already. Removing one that is not set does nothing.
func (h *Heap[O]) Remove(o O) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(o)
	// The timer stays armed: a needless wake-up is cheaper than a reset for each
	// message.
}

// RemoveAll removes owners as Remove does, under one lock.
func (h *Heap[O]) RemoveAll(os []O) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(os) > len(h.nodes)/2 {
		h.cutAll(os)
		return
	}
	for _, o := range os {
		h.remove(o)
	}
}

// remove removes an owner if it is set. h.mu is held.
func (h *Heap[O]) remove(o O) {
	if pos := o.TimerItem().pos; pos != 0 {
		h.cut(int(pos - 1))
	}
}

// cutAll takes many owners out of the heap. It makes a heap of the others, in linear
// time, which costs less than to cut half of the nodes one by one. h.mu is held.
func (h *Heap[O]) cutAll(os []O) {
	for _, o := range os {
		o.TimerItem().pos = 0
	}
	kept := h.nodes[:0]
	for _, n := range h.nodes {
		if it := n.owner.TimerItem(); it.pos != 0 {
			kept = append(kept, n)
			it.pos = int32(len(kept))
		}
	}
	clear(h.nodes[len(kept):])
	h.nodes = kept
	for i := len(kept)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

// Len returns the number of owners that are set.
func (h *Heap[O]) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.nodes)
}

// Close removes all owners and waits for one that is firing. It must not be
// called by one.
func (h *Heap[O]) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, n := range h.nodes {
		n.owner.TimerItem().pos = 0
	}
	h.nodes = nil
	if h.timer != nil {
		h.timer.Stop()
	}
	for h.running {
		h.idle.Wait()
	}
}

// arm sets the timer for the earliest node, if the timer is set for a later time.
// h.mu is held.
func (h *Heap[O]) arm() {
	if h.running || h.closed || len(h.nodes) == 0 || h.nodes[0].at >= h.armed {
		return
	}
	h.armed = h.nodes[0].at
	d := time.Until(h.base.Add(time.Duration(h.armed)))
	if h.timer == nil {
		h.timer = time.AfterFunc(d, h.run)
	} else {
		h.timer.Reset(d)
	}
}

// run fires the owners that are due.
func (h *Heap[O]) run() {
	h.mu.Lock()
	if h.running || h.closed {
		h.mu.Unlock()
		return
	}
	h.running = true
	h.armed = never
	for !h.closed {
		now := time.Now()
		t := int64(now.Sub(h.base))
		for len(h.nodes) > 0 && h.nodes[0].at <= t {
			h.due = append(h.due, h.nodes[0].owner)
			h.cut(0)
		}
		if len(h.due) == 0 {
			break
		}
		h.mu.Unlock()
		for _, o := range h.due {
			o.Fire(now)
		}
		h.mu.Lock()
		clear(h.due)
		h.due = h.due[:0]
	}
	h.running = false
	h.idle.Broadcast()
	h.arm()
	h.mu.Unlock()
}

// cut takes the node at i out of the heap.
func (h *Heap[O]) cut(i int) {
	h.nodes[i].owner.TimerItem().pos = 0
	last := len(h.nodes) - 1
	moved := h.nodes[last]
	h.nodes[last] = node[O]{}
	h.nodes = h.nodes[:last]
	if i == last {
		return
	}
	h.nodes[i] = moved
	if !h.up(i) {
		h.down(i)
	}
}

// up moves the node at i towards the root, sets its pos and reports whether it moved.
func (h *Heap[O]) up(i int) bool {
	n, from := h.nodes[i], i
	for i > 0 {
		parent := (i - 1) / 2
		if h.nodes[parent].at <= n.at {
			break
		}
		h.put(i, h.nodes[parent])
		i = parent
	}
	h.put(i, n)
	return i != from
}

// down moves the node at i away from the root.
func (h *Heap[O]) down(i int) {
	n := h.nodes[i]
	for {
		child := 2*i + 1
		if child >= len(h.nodes) {
			break
		}
		if r := child + 1; r < len(h.nodes) && h.nodes[r].at < h.nodes[child].at {
			child = r
		}
		if n.at <= h.nodes[child].at {
			break
		}
		h.put(i, h.nodes[child])
		i = child
	}
	h.put(i, n)
}

// put makes n the node at i.
func (h *Heap[O]) put(i int, n node[O]) {
	h.nodes[i] = n
	n.owner.TimerItem().pos = int32(i + 1)
}
