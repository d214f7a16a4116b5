// Package seldom keeps what may happen with every message from filling a log.
package seldom

import (
	"sync"
	"time"
)

// An Event may be reported once in a period and counts the rest. The zero
// Event is ready. Its method may be called concurrently.
type Event struct {
	mu     sync.Mutex
	next   time.Time
	missed int
}

// Allow reports whether now is the time, and how many were held back since the
// last one.
func (e *Event) Allow(now time.Time, period time.Duration) (missed int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Before(e.next) {
		e.missed++
		return 0, false
	}
	missed, e.missed = e.missed, 0
	e.next = now.Add(period)
	return missed, true
}
