// Package timer tracks very many deadlines with one timer: a heap of items, of
// which only the earliest is armed. Setting, moving and removing an item costs
// a lock and a few swaps, no goroutine and no allocation, so that every lease
// of a consumer can have its own deadline.
package timer

import (
	"sync"
	"time"
)

// An Owner is called when its [Item] is due.
type Owner interface {
	// Fire is called once each time the item was set and became due. now is
	// read shortly before. It is called on the heap's goroutine, one item after
	// the other and with no lock held: it may set and remove items, its own as
	// well, and must not block.
	Fire(now time.Time)
}

// An Item is one deadline. It is a field of its owner and must not be
// copied after the first [Heap.Set]. Its Owner must be set before that.
type Item struct {
	Owner Owner
	// pos is the item's index in the heap plus one; zero is not in the heap.
	pos int
}

// A Heap fires items when they are due. Make one with [New]. Its methods may be
// called concurrently.
//
// It is a binary heap on one slice. Invariants: no node is earlier than its parent;
// the pos of a node's item is its index plus one; unless run is at work, the timer is
// armed for the earliest item, or for an earlier time. Set and Remove take time
// logarithmic in the number of items; the standard library's container/heap would
// cost an interface call for each comparison on the hottest path of the consumer.
type Heap struct {
	base time.Time

	mu      sync.Mutex
	nodes   []node
	timer   *time.Timer
	armed   int64 // the time for which timer is set; never if it is not
	running bool  // run is at work, and arms the timer when it ends
	closed  bool
	idle    sync.Cond // signalled when running ends

	due []*Item // run's own
}

// node keeps the time beside the item, so that comparing touches no other
// memory.
type node struct {
	at   int64 // since base
	item *Item
}

const never = int64(1<<63 - 1)

// New returns an empty heap.
func New() *Heap {
	h := &Heap{base: time.Now(), armed: never}
	h.idle.L = &h.mu
	return h
}

// Set makes the item fire at the given time, which replaces any time set before. An
// item whose time has passed fires immediately. After [Heap.Close] Set does nothing.
//
// at should have a monotonic reading. A time without one is converted by the wall
// clock of this moment, so that a later step of that clock does not move it.
func (h *Heap) Set(it *Item, at time.Time) {
	t := h.moment(at)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.set(it, t)
	h.arm()
}

// SetAll calls next with the numbers below n and sets the items that it returns as Set
// does, under one lock. A nil item is left out. next must not use the heap.
func (h *Heap) SetAll(n int, next func(i int) (*Item, time.Time)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	for i := range n {
		if it, at := next(i); it != nil {
			h.set(it, h.moment(at))
		}
	}
	h.arm()
}

// moment returns a time as nanoseconds since base.
func (h *Heap) moment(at time.Time) int64 {
	if at == at.Round(0) { //nolint:staticcheck // Equal ignores the monotonic reading, which Round strips
		now := time.Now()
		at = now.Add(at.Sub(now))
	}
	return int64(at.Sub(h.base))
}

// set sets an item. h.mu is held, and the caller calls arm.
func (h *Heap) set(it *Item, t int64) {
	if it.pos != 0 {
		i := it.pos - 1
		h.nodes[i].at = t
		if !h.up(i) {
			h.down(i)
		}
	} else {
		h.nodes = append(h.nodes, node{t, it})
		it.pos = len(h.nodes)
		h.up(len(h.nodes) - 1)
	}
}

// Remove removes the item, which does not fire from now on, unless it is firing
// already. Removing an item that is not set does nothing.
func (h *Heap) Remove(it *Item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if it.pos != 0 {
		h.cut(it.pos - 1)
	}
	// The timer stays armed: a needless wake-up is cheaper than a reset for each
	// message.
}

// RemoveAll calls item with the numbers below n and removes the items that it returns as
// Remove does, under one lock. item must not use the heap.
func (h *Heap) RemoveAll(n int, item func(i int) *Item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n > len(h.nodes)/2 {
		h.cutAll(n, item)
		return
	}
	for i := range n {
		if it := item(i); it.pos != 0 {
			h.cut(it.pos - 1)
		}
	}
}

// cutAll takes many nodes out of the heap. It makes a heap of the others, in linear
// time, which costs less than to cut half of the nodes one by one. h.mu is held.
func (h *Heap) cutAll(n int, item func(i int) *Item) {
	for i := range n {
		if it := item(i); it.pos != 0 {
			h.nodes[it.pos-1].item, it.pos = nil, 0
		}
	}
	kept := h.nodes[:0]
	for _, n := range h.nodes {
		if n.item != nil {
			kept = append(kept, n)
			n.item.pos = len(kept)
		}
	}
	clear(h.nodes[len(kept):])
	h.nodes = kept
	for i := len(kept)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

// Len returns the number of items that are set.
func (h *Heap) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.nodes)
}

// Close removes all items and waits for one that is firing. It must not be
// called from an [Owner].
func (h *Heap) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, n := range h.nodes {
		n.item.pos = 0
	}
	h.nodes = nil
	if h.timer != nil {
		h.timer.Stop()
	}
	for h.running {
		h.idle.Wait()
	}
}

// arm sets the timer for the earliest item, if the timer is set for a later time.
// h.mu is held.
func (h *Heap) arm() {
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

// run fires the items that are due.
func (h *Heap) run() {
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
			h.due = append(h.due, h.nodes[0].item)
			h.cut(0)
		}
		if len(h.due) == 0 {
			break
		}
		h.mu.Unlock()
		for i, it := range h.due {
			it.Owner.Fire(now)
			h.due[i] = nil
		}
		h.mu.Lock()
		h.due = h.due[:0]
	}
	h.running = false
	h.idle.Broadcast()
	h.arm()
	h.mu.Unlock()
}

// cut takes the node at i out of the heap.
func (h *Heap) cut(i int) {
	h.nodes[i].item.pos = 0
	last := len(h.nodes) - 1
	moved := h.nodes[last]
	h.nodes[last] = node{}
	h.nodes = h.nodes[:last]
	if i == last {
		return
	}
	h.nodes[i] = moved
	moved.item.pos = i + 1
	if !h.up(i) {
		h.down(i)
	}
}

// up moves the node at i towards the root and reports whether it moved.
func (h *Heap) up(i int) bool {
	n, from := h.nodes[i], i
	for i > 0 {
		parent := (i - 1) / 2
		if h.nodes[parent].at <= n.at {
			break
		}
		h.nodes[i] = h.nodes[parent]
		h.nodes[i].item.pos = i + 1
		i = parent
	}
	h.nodes[i] = n
	n.item.pos = i + 1
	return i != from
}

// down moves the node at i away from the root.
func (h *Heap) down(i int) {
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
		h.nodes[i] = h.nodes[child]
		h.nodes[i].item.pos = i + 1
		i = child
	}
	h.nodes[i] = n
	n.item.pos = i + 1
}
