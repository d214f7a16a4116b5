package ratelimit

import (
	"context"
	"math"
	"sync"
	"time"
)

// memory is the [Store] of a single process. now is called concurrently.
type memory struct {
	now   func() time.Time
	epoch time.Time

	mu sync.Mutex
	// Windows that were used since the last turn, and those used in the period
	// before it. Others are forgotten.
	recent, older map[string]*starts
	turned        time.Duration
	latest        time.Duration
	keep          time.Duration // the longest time that a window must be kept
}

// NewMemory returns an empty [Store] in this process's memory, which limiters of this
// process can share. A window costs 8 bytes for each start in it.
func NewMemory() Store { return newMemory(time.Now) }

func newMemory(now func() time.Time) *memory {
	return &memory{now: now, recent: make(map[string]*starts), epoch: now()}
}

// Take implements [Store]. It does not block and never fails.
func (s *memory) Take(_ context.Context, r Request) (Answer, error) {
	// The clock is the user's. One that steps back, or that is read out of turn,
	// does not turn windows back.
	now := s.now().Sub(s.epoch)
	s.mu.Lock()
	defer s.mu.Unlock()
	now = max(now, s.latest)
	s.latest = now
	w := s.window(r, now)
	w.forget(now-r.Per, r.Max)
	at := now
	if w.count == r.Max {
		at = sum(w.nth(0), r.Per)
	}
	a := Answer{Taken: at-now <= r.Wait, After: at - now}
	if a.Taken {
		if w.count == r.Max {
			w.drop()
		}
		w.add(at, r.Max)
	} else {
		promise := max(at, w.promised)
		w.promised = sum(promise, r.Per/time.Duration(r.Max))
		a.After = promise - now
	}
	if a.Free = r.Max - w.count; a.Free == 0 {
		a.Next = sum(w.nth(r.Batch-1), r.Per) - now
	}
	return a, nil
}

// sum is a + b, or the longest duration if that is longer. Neither is below zero.
func sum(a, b time.Duration) time.Duration { return a + min(b, math.MaxInt64-a) }

func (s *memory) window(r Request, now time.Duration) *starts {
	s.keep = max(s.keep, sum(r.Per, r.Wait))
	if now-s.turned > s.keep {
		s.older, s.recent, s.turned = s.recent, make(map[string]*starts), now
	}
	w := s.recent[r.Key]
	if w == nil {
		if w = s.older[r.Key]; w == nil {
			w = &starts{}
		}
		s.recent[r.Key] = w
	}
	return w
}

// starts are the times of the last starts of a window, oldest first, in a ring
// that grows to the limit.
type starts struct {
	ring     []time.Duration
	first    int
	count    int
	promised time.Duration // when the next one turned away may come
}

func (w *starts) nth(n int) time.Duration { return w.ring[(w.first+n)%len(w.ring)] }

func (w *starts) drop() {
	w.first = (w.first + 1) % len(w.ring)
	w.count--
}

// forget drops the starts up to the given time, and those beyond the limit, which
// a limit that was lowered leaves: only the latest count.
func (w *starts) forget(until time.Duration, limit int) {
	for w.count > 0 && (w.count > limit || w.nth(0) <= until) {
		w.drop()
	}
}

func (w *starts) add(at time.Duration, limit int) {
	if w.count == len(w.ring) {
		grown := make([]time.Duration, min(max(2*w.count, 4), limit))
		for i := range w.count {
			grown[i] = w.nth(i)
		}
		w.ring, w.first = grown, 0
	}
	w.ring[(w.first+w.count)%len(w.ring)] = at
	w.count++
}
