// Package batch gathers single items into batches. A batch is flushed when it is
// full, when the earliest time of its items has come, or when Flush is called.
package batch

import (
	"context"
	"sync"
	"time"
)

// Config configures a [Batcher].
type Config[T any] struct {
	// Max is the largest batch, at least one.
	Max int
	// Parallel is the largest number of concurrent flushes, at least one. While
	// that many run, items wait beyond their time.
	Parallel int
	// Flush handles a batch. It is called on its own goroutine and may block.
	// items belongs to it until it returns, and is reused then.
	Flush func(items []T)
}

// A Batcher gathers items. Make one with [New]. Its methods may be called
// concurrently, from within Flush too.
type Batcher[T any] struct {
	cfg Config[T]

	mu       sync.Mutex
	queue    []T // the pending items, from head on
	head     int
	due      time.Time // when pending must be flushed
	eager    bool      // flush until nothing is pending
	soon     bool      // flush when a running flush ends
	inFlight int
	timer    *time.Timer
	spare    [][]T // batches to reuse

	// A goroutine that has flushed is parked for the next batch: its stack has grown
	// to what a flush takes, which a new one's would have to do again.
	parked  int
	jobs    chan []T
	stop    chan struct{}
	stopped bool
	idle    chan struct{}
}

// New returns a Batcher. While nothing is pending it has as many goroutines as flushes
// ran at the same time, until Stop.
func New[T any](cfg Config[T]) *Batcher[T] {
	return &Batcher[T]{cfg: cfg, jobs: make(chan []T, cfg.Parallel), stop: make(chan struct{})}
}

// Add adds an item, which is flushed at the given time or before. It does not
// block. Adding takes amortized constant time.
func (b *Batcher[T]) Add(item T, due time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(item, due)
}

// add adds item. b.mu is held.
func (b *Batcher[T]) add(item T, due time.Time) {
	switch {
	case b.queue == nil:
		b.queue = b.buffer()
	case b.head > len(b.queue)/2 && len(b.queue) == cap(b.queue):
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	b.queue = append(b.queue, item)
	first := b.pending() == 1
	if first || due.Before(b.due) {
		b.due = due
		if b.pending() < b.cfg.Max && !b.eager {
			b.arm()
			return
		}
	}
	if b.pending() >= b.cfg.Max || b.eager {
		b.launch()
	}
}

// AddSoon adds an item, which is flushed now if no flush runs, and otherwise when
// one ends, or at the given time or before. Items that are added meanwhile share
// the next flush. It does not block.
func (b *Batcher[T]) AddSoon(item T, due time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inFlight == 0 {
		due = time.Now()
	}
	b.soon = true
	b.add(item, due)
}

// Flush flushes all pending items now. It does not block.
func (b *Batcher[T]) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending() > 0 {
		b.eager = true
		b.launch()
	}
}

// Len returns the number of pending items.
func (b *Batcher[T]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending()
}

// Wait flushes all pending items and waits until nothing is pending and no flush
// runs, or until ctx is done; then it returns ctx's error.
func (b *Batcher[T]) Wait(ctx context.Context) error {
	for {
		b.mu.Lock()
		if b.pending() == 0 && b.inFlight == 0 {
			b.mu.Unlock()
			return nil
		}
		if b.pending() > 0 {
			b.eager = true
			b.launch()
		}
		if b.idle == nil {
			b.idle = make(chan struct{})
		}
		idle := b.idle
		b.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stop stops the timer and ends the goroutines that are parked: no item is flushed
// because of its time from now on.
func (b *Batcher[T]) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopped {
		b.stopped, b.parked = true, 0
		close(b.stop)
	}
	if b.timer != nil {
		b.timer.Stop()
	}
}

// arm sets the timer to b.due. b.mu is held.
func (b *Batcher[T]) arm() {
	d := time.Until(b.due)
	if d <= 0 {
		b.launch()
		return
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(d, b.ring)
	} else {
		b.timer.Reset(d)
	}
}

// ring is the timer's function. A flush may have overtaken it; then the items
// that are pending now have a later time.
func (b *Batcher[T]) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending() == 0 {
		return
	}
	b.arm()
}

// launch starts flushes for the items that are ready, as far as the limit allows:
// a flush that ends continues with the rest. b.mu is held.
func (b *Batcher[T]) launch() {
	for first := true; b.pending() > 0 && b.inFlight < b.cfg.Parallel && (first || b.ready()); first = false {
		b.inFlight++
		if items := b.take(); b.parked > 0 {
			b.parked--
			b.jobs <- items // there is room for as many as may be parked
		} else {
			go b.work(items)
		}
	}
}

// ready reports whether pending items must be flushed now. b.mu is held.
func (b *Batcher[T]) ready() bool {
	return b.pending() >= b.cfg.Max || b.pending() > 0 && (b.eager || b.soon || !time.Now().Before(b.due))
}

// pending returns the number of pending items. b.mu is held.
func (b *Batcher[T]) pending() int { return len(b.queue) - b.head }

// take removes and returns the next batch. It copies a batch only if there are more
// pending items than Max, and never the rest of them: there may be thousands. b.mu is
// held.
func (b *Batcher[T]) take() []T {
	if b.head == 0 && len(b.queue) <= b.cfg.Max {
		items := b.queue
		b.queue = nil
		b.eager, b.soon = false, false
		return items
	}
	next := b.queue[b.head:]
	next = next[:min(len(next), b.cfg.Max)]
	items := append(b.buffer(), next...)
	clear(next)
	b.head += len(next)
	if b.pending() == 0 {
		b.queue, b.head = b.queue[:0], 0
		b.eager, b.soon = false, false
	}
	// b.due stays: it is not later than the time of any that is left.
	return items
}

func (b *Batcher[T]) buffer() []T {
	if n := len(b.spare); n > 0 {
		s := b.spare[n-1]
		b.spare = b.spare[:n-1]
		return s
	}
	return make([]T, 0, min(b.cfg.Max, 64))
}

// work flushes batches, one after the other, until Stop.
func (b *Batcher[T]) work(items []T) {
	for b.flush(items) {
		select {
		case items = <-b.jobs:
		case <-b.stop:
			select {
			case items = <-b.jobs: // from before Stop
			default:
				return
			}
		}
	}
}

// flush flushes one batch, and then others that have become ready meanwhile. It
// reports whether the goroutine is parked then.
func (b *Batcher[T]) flush(items []T) (parked bool) {
	for {
		b.cfg.Flush(items)
		clear(items)
		b.mu.Lock()
		if len(b.spare) < b.cfg.Parallel {
			b.spare = append(b.spare, items[:0])
		}
		if !b.ready() {
			break
		}
		items = b.take()
		b.mu.Unlock()
	}
	b.inFlight--
	if parked = !b.stopped; parked {
		b.parked++
	}
	if b.pending() > 0 {
		b.arm()
	} else if b.inFlight == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
	b.mu.Unlock()
	return parked
}
