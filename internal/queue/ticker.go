package queue

import (
	"time"

	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// A ticker is the clock of an engine in one process: it starts at the wall
// clock's time and follows the monotonic clock.
type ticker struct {
	clock Clock // nil means the machine's
	begin time.Time
}

func newTicker(c Clock) ticker {
	if c != nil {
		return ticker{clock: c}
	}
	return ticker{begin: time.Now()}
}

func (t ticker) moment() store.Moment {
	if t.clock != nil {
		now := t.clock.Now()
		return store.Moment{At: store.Nanos(now), Now: now}
	}
	now := time.Now()
	return store.Moment{At: store.Later(store.Nanos(t.begin), now.Sub(t.begin)), Now: now}
}

// after is time.After on the engine's clock.
func (t ticker) after(d time.Duration) <-chan time.Time {
	if t.clock != nil {
		return t.clock.After(d)
	}
	return time.After(d)
}
