package otel

import (
	"sync"
	"time"
)

// ageWindow is how long the age of a message counts after its handler has started: from
// one window to two.
const ageWindow = time.Minute

// ages remembers the largest age of the messages that were handled lately. The zero ages
// has seen none.
type ages struct {
	mu       sync.Mutex
	begun    time.Time // of the window
	now, was time.Duration
	any      [2]bool // whether there was a message in now, and in was
}

// see notes the age of a message.
func (a *ages) see(age time.Duration, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(at)
	a.now, a.any[0] = max(a.now, age), true
}

// largest returns the largest age of the last one to two windows, false if no message
// was seen in them.
func (a *ages) largest(at time.Time) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(at)
	return max(a.now, a.was), a.any[0] || a.any[1]
}

// turn begins a window if the last one has ended.
func (a *ages) turn(at time.Time) {
	passed := at.Sub(a.begun)
	if passed < ageWindow {
		return
	}
	a.was, a.any[1] = a.now, a.any[0]
	if passed >= 2*ageWindow {
		a.was, a.any[1] = 0, false
	}
	a.now, a.any[0], a.begun = 0, false, at
}
