// Package storegate holds messages back while a store that middleware needs does
// not answer: the marks of the idempotency middleware, the windows of a shared
// rate limit.
//
// A [Gate] is open until a call of the store fails ([Gate.Suspect]). It then
// closes. The next call of the gate probes the store with a request that changes
// nothing. If the store answers, the gate opens and the failure was that one
// call's. If not, the store is down: that is logged and reported once, and the
// gate asks again after pauses that grow, with jitter, until the store answers.
//
// Invariants: at most one probe decides at a time; a probe begins only when
// someone asks to receive or has a message, so that a gate nobody uses does
// nothing; the probe, the logger and the observer are called without a lock.
package storegate

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// firstPause and lastPause bound the pause between two probes.
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
	// heed is how long a call that heeds its context may take to return after the
	// context's end.
	heed = 100 * time.Millisecond
	// maxStuck is how many probes may hang beyond their timeout. With more, the
	// gate waits for one of them.
	maxStuck = 3
	// Patience is how long the store may fail for one message, while it answers
	// the probe, before that is the message's own failure. A store can be down in
	// part, for hours: one node of a cluster, one shard. Then the messages of that
	// part fail as those do whose key the store refuses, and only time shows the difference.
	Patience = time.Hour
	// maxKeys bounds the messages of which troubles are remembered.
	maxKeys = 4096
)

// Config describes a store. Name, Probe and Timeout must be set.
type Config struct {
	// Name names the store, for health and logs: "idempotency store redis://cache:6379".
	Name string
	// Probe asks the store something harmless. It is called by one goroutine at
	// a time unless it outlasts Timeout.
	Probe func(ctx context.Context) error
	// Timeout is how long a probe may take.
	Timeout time.Duration
	// Logger gets a record for each change of state; nil means slog.Default().
	// Observer gets an event, if it is not nil.
	Logger   *slog.Logger
	Observer handler.Observer
}

// A Gate is the [handler.Gate] of a store. It may be used concurrently.
type Gate struct {
	config Config
	// closed mirrors state != up, for the path of every message.
	closed atomic.Bool

	mu      sync.Mutex
	state   state
	cause   error     // why the store counts as down; its text can be had
	since   time.Time // since when
	pause   time.Duration
	until   time.Time     // no probe before it
	probing bool          // a probe runs, or its outcome is being reported
	ended   chan struct{} // closed when the latest probe's outcome was reported
	stuck   int           // probes that outlasted their timeout
	changed chan struct{} // closed when it is worth asking Admit again
	timer   bool          // closes changed at until

	troubles map[string]trouble
	troubled atomic.Int64 // len(troubles)
}

// trouble is that the store fails for one message.
type trouble struct {
	since time.Time
	times int
}

type state uint8

const (
	up      state = iota
	suspect       // a call failed; a probe will decide
	down          // a probe failed
)

var _ handler.GateReason = (*Gate)(nil)

// New returns an open gate.
func New(c Config) *Gate {
	c.Logger = invoke.Logger(c.Logger)
	return &Gate{config: c, changed: make(chan struct{})}
}

// Admit implements [handler.Gate]: all while the store answers, none otherwise.
func (g *Gate) Admit(want int) (n int, reopened <-chan struct{}) {
	if !g.closed.Load() {
		return want, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == up {
		return want, nil
	}
	if !g.probing && !g.begin() && !g.timer && g.stuck < maxStuck {
		g.timer = true
		time.AfterFunc(max(time.Until(g.until), time.Millisecond), func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.timer = false
			g.wake()
		})
	}
	return 0, g.changed
}

// Reason implements [handler.GateReason].
func (g *Gate) Reason() string { return invoke.Text(g.Err()) }

// Err returns why the gate is closed, nil while it is open.
func (g *Gate) Err() error {
	if !g.closed.Load() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case down:
		return fmt.Errorf("%s is down: %w", g.config.Name, g.cause)
	case suspect:
		return fmt.Errorf("%s has failed: %w", g.config.Name, g.cause)
	default:
		return nil
	}
}

// Open reports whether the store answers, as far as is known. If it does not and
// a probe is due, Open begins one.
func (g *Gate) Open() bool {
	if !g.closed.Load() {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.probing {
		g.begin()
	}
	return g.state == up
}

// Enter lets a message ask the store, or says in how long it may try again. It
// waits, for Timeout at most, for the probe that shows whether a first failure is
// an outage. Later only the message that finds a probe due, and begins it, waits
// for its end.
func (g *Gate) Enter(ctx context.Context) (wait time.Duration, entered bool) {
	if !g.closed.Load() {
		return 0, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.probing && g.begin() || g.state == suspect && g.probing {
		ended := g.ended
		g.mu.Unlock()
		select {
		case <-ended:
		case <-ctx.Done():
		}
		g.mu.Lock()
	}
	if g.state == up {
		return 0, true
	}
	return g.delay(), false
}

// Suspect records that the store failed for the message with this key, and returns
// the delay until the message may try again, which grows with each failure for the
// key. own is true if the store failed for the key throughout [Patience] while it
// answered for others: the message then causes the failure. The key must be the
// message's alone.
func (g *Gate) Suspect(key string, err error) (wait time.Duration, own bool) {
	err = invoke.Safe(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == up {
		wait, own = g.trouble(key)
		if own {
			return wait, true
		}
		g.state, g.cause, g.since = suspect, err, time.Now()
		g.pause, g.until = 0, time.Time{}
		g.closed.Store(true)
		if g.stuck >= maxStuck {
			g.state = down // earlier probes hang: one of them will decide
		}
	}
	return wait + g.delay(), false
}

// Fine reports that the store has answered for the message of that key.
func (g *Gate) Fine(key string) {
	if g.troubled.Load() == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.troubles, key)
	g.troubled.Store(int64(len(g.troubles)))
}

// trouble counts one for key, and returns how long its message waits for it. It is
// called with mu held, as all below are.
func (g *Gate) trouble(key string) (wait time.Duration, own bool) {
	if g.troubles == nil || len(g.troubles) >= maxKeys {
		g.troubles = make(map[string]trouble)
	}
	now := time.Now()
	t := g.troubles[key]
	if t.times++; t.times == 1 {
		t.since = now
	}
	if own = now.Sub(t.since) >= Patience; own {
		delete(g.troubles, key)
	} else {
		g.troubles[key] = t
	}
	g.troubled.Store(int64(len(g.troubles)))
	if t.times > 1 {
		wait = min(firstPause<<min(t.times-2, 10), lastPause)
		wait = wait/2 + rand.N(wait/2)
	}
	return wait, own
}

// delay returns how long a message waits: until the next probe, spread over the
// length of a pause, so that messages do not all return at the moment of
// recovery.
func (g *Gate) delay() time.Duration {
	return max(time.Until(g.until), 0) + 50*time.Millisecond + rand.N(max(g.pause, firstPause))
}

func (g *Gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// begin begins a probe if one is due.
func (g *Gate) begin() bool {
	if g.state == up || g.stuck >= maxStuck || time.Now().Before(g.until) {
		return false
	}
	g.probing, g.ended = true, make(chan struct{})
	go g.ask(g.ended)
	return true
}

// ask is a probe. It counts as failed when its time is over, even if the store
// does not heed its context; if the answer comes later, it is taken then.
func (g *Gate) ask(ended chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Timeout)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		err := invoke.ErrGoexit
		defer func() { answer <- err }()
		if p := invoke.Do(func() { err = g.config.Probe(ctx) }); p != nil {
			err = p
		}
	}()
	select {
	case err := <-answer:
		g.decide(ended, err)
		return
	case <-ctx.Done():
	}
	select {
	case err := <-answer: // it heeds its context
		g.decide(ended, err)
		return
	case <-time.After(heed):
	}
	g.mu.Lock()
	g.stuck++
	g.mu.Unlock()
	g.decide(ended, fmt.Errorf("no answer within %v", g.config.Timeout))
	err := <-answer
	g.mu.Lock()
	g.stuck--
	late := err == nil && g.state == down && !g.probing
	if late {
		g.probing, g.ended = true, make(chan struct{})
		ended = g.ended
	} else {
		g.wake() // there is room for another
	}
	g.mu.Unlock()
	if late {
		g.decide(ended, nil)
	}
}

// decide applies the result of a probe and reports a change of state.
func (g *Gate) decide(ended chan struct{}, err error) {
	err = invoke.Safe(err)
	g.mu.Lock()
	was, since := g.state, g.since
	if err == nil {
		g.state, g.cause, g.pause, g.until = up, nil, 0, time.Time{}
		g.closed.Store(false)
	} else {
		g.state, g.cause = down, err
		g.pause = min(max(2*g.pause, firstPause), lastPause)
		g.until = time.Now().Add(g.pause/2 + rand.N(g.pause/2+1))
		g.troubles = nil // none of them was the message's own
		g.troubled.Store(0)
	}
	g.wake()
	g.mu.Unlock()
	// probing stays until all is reported, so that changes are reported in order.
	switch {
	case err != nil && was == suspect:
		g.report(slog.LevelWarn, "store does not answer; messages wait for it",
			handler.Event{Kind: handler.EventStoreDown, Store: g.config.Name, Err: err}, slog.Any("error", err))
	case err == nil && was == down:
		outage := time.Since(since)
		g.report(slog.LevelInfo, "store answers again",
			handler.Event{Kind: handler.EventStoreUp, Store: g.config.Name, Duration: outage}, slog.Duration("after", outage))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
	close(ended)
	g.wake()
}

// report calls user code, which may panic or end its goroutine.
func (g *Gate) report(level slog.Level, text string, e handler.Event, attr slog.Attr) {
	g.config.Logger.LogAttrs(context.Background(), level, text, slog.String("store", g.config.Name), attr)
	if g.config.Observer != nil {
		_ = invoke.DoApart(func() { g.config.Observer.Observe(e) })
	}
}

// Call calls f with a context that ends with ctx or after limit, and returns what
// f does. It does not wait for an f that ignores its context: the result is then
// the context's error. A panic of f is its error.
func Call[T any](ctx context.Context, limit time.Duration, f func(ctx context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		r := result{err: invoke.ErrGoexit}
		defer func() { done <- r }()
		if p := invoke.Do(func() { r.value, r.err = f(ctx) }); p != nil {
			r.err = p
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	t := time.NewTimer(heed)
	defer t.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-t.C:
		var zero T
		return zero, fmt.Errorf("no answer: %w", ctx.Err())
	}
}
