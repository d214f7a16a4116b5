package ratelimit

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// How long receiving pauses when the store has failed: at first, and at most.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// gate is what is known about the window without asking the store, from the
// answers that messages got.
type gate struct {
	name   string
	logger *slog.Logger

	mu     sync.Mutex
	free   int       // places that were free
	asOf   time.Time // when that was so
	openAt time.Time // while none is free: when there is a batch of them
	wake   chan struct{}

	failing bool
	pause   time.Duration
	until   time.Time // while failing: when to try again
}

// admit takes a limit of 0 where places are not counted together.
func (g *gate) admit(want, limit int, per time.Duration, batch int) (n int, reopened <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(g.until):
		return 0, g.wakeAt(g.until.Sub(now))
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

// receivers is how many receives may be on their way at once, each of which is
// told the same number of free places.
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

// learn takes over what the store has said to a question that was asked at now.
func (g *gate) learn(a Answer, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free, g.asOf, g.openAt = a.Free, now, now.Add(a.Next)
	if g.failing {
		g.failing, g.pause, g.until = false, 0, time.Time{}
		g.logger.Info("rate limit's store answers again", slog.String("limit", g.name))
	}
}

// fail has receiving pause, for longer each time, and returns in how long a
// message may come back. It tells the logger only of the first failure.
func (g *gate) fail(err error, open bool) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !g.failing {
		g.failing = true
		g.logger.Warn("rate limit's store fails", slog.String("limit", g.name),
			slog.Bool("messages_pass", open), slog.Any("error", err))
	}
	if open {
		return 0
	}
	if !now.Before(g.until) { // not one of many that failed together
		g.pause = min(max(2*g.pause, firstPause), lastPause)
		g.until = now.Add(g.pause)
	}
	return g.until.Sub(now) + time.Duration(rand.Int64N(int64(g.pause)))
}
