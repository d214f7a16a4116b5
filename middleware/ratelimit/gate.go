package ratelimit

import (
	"sync"
	"time"
)

// gate is the known state of the window, from the store's answers to messages.
type gate struct {
	mu     sync.Mutex
	free   int       // places that were free
	asOf   time.Time // when that was so
	openAt time.Time // while none is free: when there is a batch of them
	wake   chan struct{}
}

// admit takes a limit of 0 where places are not counted together.
func (g *gate) admit(want, limit int, per time.Duration, batch int) (n int, reopened <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	switch {
	case limit == 0:
		return want, nil
	case now.Sub(g.asOf) >= per:
		return share(want, limit), nil // all that was counted then is over
	case g.free > 0:
		return share(want, g.free), nil
	case now.Before(g.openAt):
		return 0, g.wakeAt(g.openAt.Sub(now))
	default:
		return share(want, batch), nil
	}
}

// receivers is how many receives may be on their way at the same time, each of which
// gets the same number of free places.
const receivers = 4

// share is how many of want one receive may bring. Where all receives together
// could bring more than is free, it is less than want even if this one could have
// all: the runtime takes that as a sign to receive one at a time.
func share(want, free int) int {
	if free >= receivers*want {
		return want
	}
	return min(free, max(want-1, 1))
}

// wakeAt returns a channel that is closed in d at the latest. It is called with
// mu held.
func (g *gate) wakeAt(d time.Duration) <-chan struct{} {
	if g.wake == nil {
		wake := make(chan struct{})
		g.wake = wake
		time.AfterFunc(d, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.wake = nil
			close(wake)
		})
	}
	return g.wake
}

// learn records the store's answer to a request made at now. Requests overlap: one that was
// made before that of the latest answer may have been carried out before it or after, and
// counts only if it found less.
func (g *gate) learn(a Answer, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.asOf) {
		if a.Free >= g.free {
			return
		}
	} else {
		g.asOf = now
	}
	g.free, g.openAt = a.Free, now.Add(a.Next)
}

// shut reports whether there is no place, as far as is known.
func (g *gate) shut(per time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	return now.Sub(g.asOf) < per && g.free <= 0 && now.Before(g.openAt)
}
