// Package reach holds messages back while what handles them, an endpoint or a
// command, can't be reached, so that no message spends an attempt that nobody has
// worked on.
//
// A [Gate] is open until something could not be reached ([Gate.Failed]). It then
// lets one message through after each pause, and pauses longer each time, until one
// has reached it ([Gate.Reached]). Messages in between learn how long to wait.
//
// Invariants: between two pauses one message tries; the logger is called without a
// lock.
package reach

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
)

// A Gate is the [handler.Gate] of what it is named after. It may be used
// concurrently.
type Gate struct {
	name string
	log  *slog.Logger
	// closed mirrors err != nil, for the path of every message.
	closed atomic.Bool

	mu       sync.Mutex
	err      error // why it can't be reached; nil while it can
	pause    time.Duration
	next     time.Time // no try before it
	trying   bool      // one is let through
	reopened chan struct{}
}

var _ handler.GateReason = (*Gate)(nil)

// New returns an open gate. name says what is reached, for logs and health. A nil
// log is slog.Default().
func New(name string, log *slog.Logger) *Gate {
	return &Gate{name: name, log: invoke.Logger(log)}
}

// Enter lets a message try, or returns how long it is to wait. Who was let through
// calls Reached, Failed or Left.
func (g *Gate) Enter() (wait time.Duration, entered bool) {
	if !g.closed.Load() {
		return 0, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		return 0, true
	}
	if left := time.Until(g.next); left > 0 {
		return left, false
	}
	if g.trying {
		return g.pause, false
	}
	g.trying = true
	return 0, true
}

// Left ends a try that proves nothing, such as one that was canceled.
func (g *Gate) Left() {
	if !g.closed.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trying = false
}

// Reached opens the gate.
func (g *Gate) Reached() {
	if !g.closed.Load() {
		return
	}
	g.mu.Lock()
	was := g.err
	g.err, g.pause, g.trying = nil, 0, false
	g.closed.Store(false)
	g.wake()
	g.mu.Unlock()
	if was != nil {
		g.log.Info("it is reached again: messages are received", "handler", g.name)
	}
}

// Failed closes the gate, because of err, and returns how long a message is to wait.
// Several that fail at the same time count once.
func (g *Gate) Failed(err error) time.Duration {
	err = invoke.Safe(err)
	now := time.Now()
	g.mu.Lock()
	first := g.err == nil
	if first || !now.Before(g.next) {
		g.pause = min(max(2*g.pause, firstPause), lastPause)
		g.next = now.Add(g.pause)
	}
	g.err, g.trying = err, false
	g.closed.Store(true)
	wait := g.next.Sub(now)
	g.mu.Unlock()
	if first {
		g.log.Error("it can't be reached: no message is received until it is; those in hand wait and spend no attempt",
			"handler", g.name, "error", err)
	}
	return wait
}

// Err returns why the gate is closed, nil while it is open.
func (g *Gate) Err() error {
	if !g.closed.Load() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		return nil
	}
	return fmt.Errorf("%s can't be reached: %w", g.name, g.err)
}

// Reason implements [handler.GateReason].
func (g *Gate) Reason() string { return invoke.Text(g.Err()) }

// Admit implements [handler.Gate]: all while it is reached, and one to try with after
// each pause.
func (g *Gate) Admit(want int) (n int, reopened <-chan struct{}) {
	if !g.closed.Load() {
		return want, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		return want, nil
	}
	left := time.Until(g.next)
	if left <= 0 && !g.trying {
		return min(want, 1), nil
	}
	if g.reopened == nil {
		g.reopened = make(chan struct{})
		mine := g.reopened
		time.AfterFunc(max(left, firstPause), func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.reopened == mine {
				g.wake()
			}
		})
	}
	return 0, g.reopened
}

// wake has those that wait ask again. g.mu is held.
func (g *Gate) wake() {
	if g.reopened != nil {
		close(g.reopened)
		g.reopened = nil
	}
}
