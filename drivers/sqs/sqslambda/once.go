package sqslambda

import (
	"sync"
	"time"
)

// oncePer lets something through once in a period and counts the rest.
type oncePer struct {
	mu     sync.Mutex
	next   time.Time
	missed int
}

// allow reports whether now is the time, and how many were held back since.
func (o *oncePer) allow(now time.Time, period time.Duration) (missed int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Before(o.next) {
		o.missed++
		return 0, false
	}
	missed, o.missed = o.missed, 0
	o.next = now.Add(period)
	return missed, true
}
