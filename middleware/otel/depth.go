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
	OldestAge                               time.Duration
}

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
