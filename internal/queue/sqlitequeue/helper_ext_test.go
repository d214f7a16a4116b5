package sqlitequeue_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// clock is a queue.Clock that stands still until it is moved.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	waiting map[chan time.Time]time.Time
}

func newClock() *clock {
	return &clock{now: time.Unix(1_800_000_000, 0), waiting: map[chan time.Time]time.Time{}}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	if d <= 0 {
		ch <- c.now
	} else {
		c.waiting[ch] = c.now.Add(d)
	}
	return ch
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for ch, at := range c.waiting {
		if !at.After(c.now) {
			ch <- c.now
			delete(c.waiting, ch)
		}
	}
}

// Waiters returns how many wait for the clock.
func (c *clock) Waiters() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// text returns a message for each body.
func text(bodies ...string) []queue.Message {
	ms := make([]queue.Message, len(bodies))
	for i, b := range bodies {
		ms[i].Body = []byte(b)
	}
	return ms
}

func numbered(n int) []queue.Message {
	ms := make([]queue.Message, n)
	for i := range ms {
		ms[i].Body = fmt.Append(nil, i)
	}
	return ms
}

func receipts(rs []queue.Received) []string {
	out := make([]string, len(rs))
	for i := range rs {
		out[i] = rs[i].Receipt
	}
	return out
}
