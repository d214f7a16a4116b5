package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

// ErrHeld marks the error of a message that a valve holds back.
var ErrHeld = errors.New("held back by an operator")

const (
	// pausedFor and fullFor are how long a message is held back that was received before
	// the valve closed. Up to as long again is added at random.
	pausedFor = time.Second
	fullFor   = 200 * time.Millisecond
	// receivers is how many receives may be on their way concurrently, each of which gets
	// the same number of free places.
	receivers = 4
)

// A Valve holds one consumer to a queue's [State]. It is a [handler.Gate], and its method
// Middleware is a [handler.Middleware]: both must be in use. It may be used concurrently.
type Valve struct {
	queue   string
	log     *slog.Logger
	current atomic.Pointer[position]
	running atomic.Int64 // handlers

	mu      sync.Mutex
	changed chan struct{} // closed when the gate is worth asking again
}

// A position is what a valve is set to.
type position struct {
	State
	limiter *ratelimit.Limiter // nil without a rate
}

var _ handler.GateReason = (*Valve)(nil)

// New returns an open valve for a queue. The logger gets each change of the state that
// concerns consumers; nil means slog.Default().
func New(queue string, log *slog.Logger) *Valve {
	v := &Valve{queue: queue, log: invoke.Logger(log), changed: make(chan struct{})}
	v.current.Store(&position{})
	return v
}

// State returns what the valve is set to.
func (v *Valve) State() State { return v.current.Load().State }

// Set sets the valve. It must not be called concurrently with itself. If s is not valid,
// it returns an error and changes nothing.
func (v *Valve) Set(s State) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("control of queue %q: %w", v.queue, err)
	}
	old := v.current.Load()
	p := &position{State: s, limiter: old.limiter}
	if s.Rate != old.Rate || s.Per != old.Per {
		p.limiter = nil
		if s.Rate > 0 {
			l, err := ratelimit.New(s.Rate, s.Per, &ratelimit.Config{Name: "the operator's rate limit of " + v.queue, Logger: v.log})
			if err != nil {
				return err
			}
			p.limiter = l
		}
	}
	v.current.Store(p)
	v.wake()
	v.report(old.State, s)
	return nil
}

// report logs how two states differ.
func (v *Valve) report(old, s State) {
	attributes := func(c Change, more ...any) []any {
		more = append([]any{"queue", v.queue}, more...)
		more = append(more, "by", c.By, "at", c.At)
		if c.Reason != "" {
			more = append(more, "reason", c.Reason)
		}
		return more
	}
	switch {
	case s.Paused && !old.Paused:
		v.log.Warn("paused: nothing is received until sluice resume", attributes(s.Pause)...)
	case old.Paused && !s.Paused:
		v.log.Info("resumed", attributes(s.Pause)...)
	}
	switch {
	case s.Concurrency == old.Concurrency && s.Rate == old.Rate && s.Per == old.Per:
	case s.limited():
		v.log.Warn("limited", attributes(s.Limit, "to", s.limits())...)
	default:
		v.log.Info("no longer limited", attributes(s.Limit)...)
	}
}

// wake has the gate asked again.
func (v *Valve) wake() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.changed)
	v.changed = make(chan struct{})
}

// changes returns the channel that the next wake closes. Ask for it before the state that
// it is about, or a change may be missed.
func (v *Valve) changes() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// Admit implements [handler.Gate].
func (v *Valve) Admit(want int) (n int, reopened <-chan struct{}) {
	if p := v.current.Load(); !p.Paused && !p.limited() {
		return want, nil
	}
	changes := v.changes()
	p := v.current.Load()
	if p.Paused {
		return 0, changes
	}
	if p.Concurrency > 0 {
		free := p.Concurrency - int(v.running.Load())
		if free <= 0 {
			return 0, changes
		}
		want = share(want, free)
	}
	if p.limiter == nil {
		return want, nil
	}
	if n, reopened = p.limiter.Admit(want); n > 0 {
		return n, nil
	}
	return 0, either(reopened, changes)
}

// share returns how many of want messages one receive may bring. It is less than want if
// all receives together could bring more than is free: the runtime then makes one at a
// time.
func share(want, free int) int {
	if free >= receivers*want {
		return want
	}
	return min(free, max(want-1, 1))
}

// either returns a channel that is closed when a or b is.
func either(a, b <-chan struct{}) <-chan struct{} {
	if a == nil {
		return b
	}
	c := make(chan struct{})
	go func() {
		defer close(c)
		select {
		case <-a:
		case <-b:
		}
	}()
	return c
}

// Reason implements [handler.GateReason].
func (v *Valve) Reason() string {
	p := v.current.Load()
	switch {
	case p.Paused:
		return "paused " + p.Pause.String()
	case p.Concurrency > 0 && v.running.Load() >= int64(p.Concurrency):
		return "limited to " + p.limits() + " " + p.Limit.String()
	case p.limiter != nil:
		return p.limiter.Reason()
	default:
		return ""
	}
}

// Middleware holds next to the state. Give it to handler.Chain as a method value, as the
// outermost.
func (v *Valve) Middleware(next handler.Handler) handler.Handler {
	return &guarded{valve: v, next: next}
}

// enter begins a handler. It returns false if the handler must not run.
func (v *Valve) enter() bool {
	for {
		p := v.current.Load()
		if p.Paused {
			return false
		}
		n := v.running.Load()
		if p.Concurrency > 0 && n >= int64(p.Concurrency) {
			return false
		}
		if v.running.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave ends a handler.
func (v *Valve) leave() {
	v.running.Add(-1)
	if v.current.Load().Concurrency > 0 {
		v.wake()
	}
}

// A guarded handler runs as far as its valve is open.
type guarded struct {
	valve *Valve
	next  handler.Handler
	// limited is the latest rate limit around next.
	limited atomic.Pointer[limited]
}

type limited struct {
	by      *ratelimit.Limiter
	handler handler.Handler
}

// Handle implements [handler.Handler].
func (g *guarded) Handle(ctx context.Context, m *handler.Message) error {
	v := g.valve
	if !v.enter() {
		d, s := fullFor, v.State()
		if s.Paused {
			d = pausedFor
		}
		return handler.Postpone(d+rand.N(d), fmt.Errorf("%w: %s", ErrHeld, s))
	}
	// Deferred, because a panic must give the place back too.
	defer v.leave()
	return g.rated(v.current.Load().limiter).Handle(ctx, m)
}

// rated returns next within a rate limit, which may be nil.
func (g *guarded) rated(by *ratelimit.Limiter) handler.Handler {
	if by == nil {
		return g.next
	}
	if l := g.limited.Load(); l != nil && l.by == by {
		return l.handler
	}
	l := &limited{by: by, handler: by.Middleware(g.next)}
	g.limited.Store(l)
	return l.handler
}
