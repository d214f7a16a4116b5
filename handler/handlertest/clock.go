package handlertest

import (
	"sync"
	"time"
)

// A Clock is a time that stands still until the test moves it. It is safe for
// concurrent use.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*clockTimer
}

type clockTimer struct {
	at   time.Time
	call func()
}

// NewClock returns a clock that stands at start.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now returns the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on by d. Events that fall due on the way, as the extension
// of a lease that is kept, happen in their order and at their time, on the caller's
// goroutine, before Advance returns.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	to := c.now.Add(d)
	c.mu.Unlock()
	c.advanceTo(to)
}

// advanceTo does nothing if the clock is there already.
func (c *Clock) advanceTo(to time.Time) {
	for {
		c.mu.Lock()
		t := c.takeDue(to)
		switch {
		case t == nil:
			if c.now.Before(to) {
				c.now = to
			}
			c.mu.Unlock()
			return
		case c.now.Before(t.at):
			c.now = t.at
		}
		c.mu.Unlock()
		t.call()
	}
}

// takeDue removes and returns the first of the timers that are due by then.
func (c *Clock) takeDue(by time.Time) *clockTimer {
	first := -1
	for i, t := range c.timers {
		if !t.at.After(by) && (first < 0 || t.at.Before(c.timers[first].at)) {
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	t := c.timers[first]
	c.timers = append(c.timers[:first], c.timers[first+1:]...)
	return t
}

func (c *Clock) afterFunc(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &clockTimer{at: c.now.Add(max(d, 0)), call: f}
	c.timers = append(c.timers, t)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, other := range c.timers {
			if other == t {
				c.timers = append(c.timers[:i], c.timers[i+1:]...)
				return
			}
		}
	}
}

// A timeSource is a [Clock] or, if that is nil, the time package.
type timeSource struct{ clock *Clock }

func (s timeSource) now() time.Time {
	if s.clock == nil {
		return time.Now()
	}
	return s.clock.Now()
}

func (s timeSource) afterFunc(d time.Duration, f func()) (stop func()) {
	if s.clock == nil {
		t := time.AfterFunc(d, f)
		return func() { t.Stop() }
	}
	return s.clock.afterFunc(d, f)
}
