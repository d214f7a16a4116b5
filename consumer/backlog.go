package consumer

import (
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// backlogPeriod is for how long the answer to whether a queue has messages holds.
const backlogPeriod = 10 * time.Second

// A backlog remembers whether messages wait at the provider. Its methods may be called
// concurrently.
type backlog struct {
	source *source

	mu     sync.Mutex
	asked  time.Time
	known  time.Time // when the answer came
	exists bool
}

// waits reports whether messages wait at the provider, as far as that is known since
// the given time. It does not block: if the answer is old, it asks in the background.
func (b *backlog) waits(now, since time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked.IsZero() || now.Sub(b.asked) >= backlogPeriod {
		b.asked = now
		go b.ask()
	}
	return b.exists && b.known.After(since)
}

func (b *backlog) ask() {
	n, ok := b.visible()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exists, b.known = ok && n > 0, time.Now()
}

// visible counts the messages that could be received, as far as the source can.
func (b *backlog) visible() (int64, bool) {
	if b.source.inspector == nil {
		return 0, false
	}
	ctx, cancel := b.source.inspection()
	defer cancel()
	d, err := b.source.inspector.Depth(ctx)
	return d.Visible, err == nil && d.Visible != drivers.Unknown
}
