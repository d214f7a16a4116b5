// Package reread schedules rereading of a value that may change: at a slow rate, and
// soon after a sign that it has changed.
package reread

import (
	"math/rand/v2"
	"sync"
	"time"
)

// A Schedule is when the next reading is due. Its methods may be called concurrently.
// Nothing is due before Begin.
type Schedule struct {
	mu                  sync.Mutex
	every, soon, jitter time.Duration
	last, next          time.Time
}

// Begin begins the schedule with a reading now. The next is due about every later,
// with a jitter of so much in all, since many consumers start together. soon is the
// shortest time between two readings.
func (s *Schedule) Begin(every, soon, jitter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.every, s.soon, s.jitter = every, soon, jitter
	s.schedule(time.Now())
}

// schedule sets the next reading. s.mu is held.
func (s *Schedule) schedule(now time.Time) {
	s.last, s.next = now, now.Add(s.every)
	if s.jitter > 0 {
		s.next = s.next.Add(rand.N(s.jitter) - s.jitter/2) //nolint:gosec // jitter needs no secrecy
	}
}

// Doubt makes the next reading due soon.
func (s *Schedule) Doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if soon := s.last.Add(s.soon); soon.Before(s.next) {
		s.next = soon
	}
}

// Due reports whether the caller must read now. It is true once: the next reading is
// scheduled with it.
func (s *Schedule) Due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.every == 0 || now.Before(s.next) {
		return false
	}
	s.schedule(now)
	return true
}

// Left returns how long it is until the next reading.
func (s *Schedule) Left() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.next)
}
