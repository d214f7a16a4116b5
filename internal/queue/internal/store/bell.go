package store

// A Bell wakes receives that wait on a queue. Its owner's mutex guards it. The
// zero Bell has no waiters.
//
// Ring wakes one waiter, and each waiter wakes the next when it leaves, whether it
// took messages (there may be more), ran out of time (it may have been the one
// that watched the clock) or found nothing. So no message stays while a receive
// waits, and a message does not wake all receives.
type Bell struct {
	first, last *Waiter
	// Alarm is when the waiter that looked last looks again by itself. A message
	// that becomes due earlier must ring.
	Alarm int64
}

// A Waiter is a receive that waits. C has a value after the bell woke it.
type Waiter struct {
	C          chan struct{}
	prev, next *Waiter
}

// Join adds a waiter behind the others.
func (b *Bell) Join() *Waiter {
	w := &Waiter{C: make(chan struct{}, 1), prev: b.last}
	if b.last == nil {
		b.first = w
	} else {
		b.last.next = w
	}
	b.last = w
	return w
}

// Leave removes a waiter and wakes the first of the others.
func (b *Bell) Leave(w *Waiter) {
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
	b.Ring()
}

// Idle reports whether no one waits.
func (b *Bell) Idle() bool { return b.first == nil }

// Ring wakes the first waiter.
func (b *Bell) Ring() {
	if b.first != nil {
		b.first.wake()
	}
}

// RingAll wakes all waiters.
func (b *Bell) RingAll() {
	for w := b.first; w != nil; w = w.next {
		w.wake()
	}
}

func (w *Waiter) wake() {
	select {
	case w.C <- struct{}{}:
	default: // it was woken already and has not looked yet
	}
}
