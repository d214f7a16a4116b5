package otel

import (
	"context"
	"sync"
	"time"
)

// Depth is how many messages a queue has. A negative number is not known, and
// not reported.
type Depth struct {
	Visible, InFlight, Delayed, DeadLetters int64
	// OldestAge is the age of the oldest message. If it is negative, the age that
	// this process has seen lately is reported in its place, and named so.
	OldestAge time.Duration
	// LetterAge is the age of the oldest dead letter.
	LetterAge time.Duration
	// LetterRetention is how long the provider keeps dead letters. Zero is not known.
	LetterRetention time.Duration
}

// empty reports whether the queue is known to have no messages.
func (d Depth) empty() bool { return d.Visible == 0 && d.InFlight <= 0 && d.Delayed <= 0 }

const (
	// depthAge is how long a depth is good for: several readers, and readers
	// that come often, cost the provider one question in that time.
	depthAge = 10 * time.Second
	// depthTimeout keeps a provider that does not answer from holding up a
	// scrape.
	depthTimeout = 5 * time.Second
)

type cachedDepth struct {
	ask func(context.Context) (Depth, error)

	mu    sync.Mutex
	asked time.Time
	depth Depth
	err   error
}

func (c *cachedDepth) get(ctx context.Context) (Depth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked.IsZero() && time.Since(c.asked) < depthAge {
		return c.depth, c.err
	}
	ctx, cancel := context.WithTimeout(ctx, depthTimeout)
	defer cancel()
	c.depth, c.err = c.ask(ctx)
	c.asked = time.Now()
	return c.depth, c.err
}
