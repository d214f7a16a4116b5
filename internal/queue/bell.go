package queue

// A bell wakes receives that wait on a queue. Its owner's mutex guards it.
//
// It wakes one at a time: who was woken and leaves wakes the next, whether it
// took messages (there may be more), ran out of time (it may have been the one
// that kept an eye on the clock) or was woken in vain. So no message is left
// lying while somebody waits, and a message does not wake everybody.
type bell struct {
	first, last *waiter
	// alarm is when the waiter that looked last will look again of its own
	// accord. What becomes due earlier must ring.
	alarm int64
}

type waiter struct {
	c          chan struct{}
	prev, next *waiter
}

func (b *bell) join() *waiter {
	w := &waiter{c: make(chan struct{}, 1), prev: b.last}
	if b.last == nil {
		b.first = w
	} else {
		b.last.next = w
	}
	b.last = w
	return w
}

func (b *bell) leave(w *waiter) {
	if w.prev == nil {
		b.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		b.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	b.ring()
}

func (b *bell) ring() {
	if b.first != nil {
		b.first.wake()
	}
}

func (b *bell) ringAll() {
	for w := b.first; w != nil; w = w.next {
		w.wake()
	}
}

func (w *waiter) wake() {
	select {
	case w.c <- struct{}{}:
	default: // it is awake and has not looked yet
	}
}
