package suspend

import (
	"sync/atomic"
	"time"
)

// slack is by how much the difference between the clocks of two moments may vary though
// nothing has happened between them: far more than a pause between two readings, and
// less than a suspend that matters.
const slack = 50 * time.Millisecond

// A Clock is [Total] at the cost of reading the time, which takes no system call. A
// suspend moves the wall clock against the monotonic one, and so does a step of the wall
// clock: only then are the kernel's clocks asked. Make one with [NewClock]. Its methods
// may be called concurrently.
type Clock struct {
	offset func() time.Duration // of the wall clock to the monotonic one
	total  func() time.Duration
	last   atomic.Pointer[reading]
}

type reading struct{ offset, total time.Duration }

// NewClock returns a Clock.
func NewClock() *Clock {
	born := time.Now()
	return &Clock{total: Total, offset: func() time.Duration {
		now := time.Now()
		return time.Duration(now.UnixNano()) - now.Sub(born)
	}}
}

// Total is the function [Total].
func (c *Clock) Total() time.Duration {
	offset := c.offset() // first: a suspend after it is found by the next call
	if r := c.last.Load(); r != nil && (offset-r.offset).Abs() < slack {
		return r.total
	}
	r := &reading{offset, c.total()}
	c.last.Store(r)
	return r.total
}
