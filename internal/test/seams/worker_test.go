package seams

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// A worker is one consumer, as one process would have it.
type worker struct {
	w    *world
	name string
	c    *consumer.Consumer
	stop context.CancelFunc
	dead chan struct{} // closed when it is killed
	done chan struct{} // closed when Run has returned

	// Guarded by the world.
	stopping bool
	killed   bool
	gone     bool      // Run has returned
	asked    time.Time // to end
	onKill   map[*context.CancelFunc]struct{}
}

// hire starts a worker.
func (w *world) hire(source drivers.Source, marks idempotency.Store, concurrency int) (*worker, error) {
	w.mu.Lock()
	k := &worker{w: w, name: fmt.Sprintf("w%d", len(w.workers)), dead: make(chan struct{}), done: make(chan struct{}), onKill: map[*context.CancelFunc]struct{}{}}
	w.workers = append(w.workers, k)
	w.say("%s starts", k.name)
	w.mu.Unlock()
	log := slog.New(&logger{w: w, worker: k})
	var chain []handler.Middleware
	chain = append(chain, k.outermost)
	if w.p.idempotent {
		once, err := idempotency.New(&store{Store: marks, w: w, worker: k}, &idempotency.Config{
			Namespace: "seams", RetryMax: 2 * time.Second, Logger: log,
			Key: func(m *handler.Message) string {
				w.mayPanic("the key function")
				return idempotency.ByDedupeID(m)
			},
		})
		if err != nil {
			return nil, err
		}
		chain = append(chain, once)
	}
	if w.p.backoff {
		retry, err := backoff.New(&backoff.Config{Min: 100 * time.Millisecond, Max: 4 * time.Second})
		if err != nil {
			return nil, err
		}
		chain = append(chain, retry)
	}
	if w.p.heartbeat {
		beat, err := heartbeat.New(nil)
		if err != nil {
			return nil, err
		}
		chain = append(chain, beat)
	}
	x := &wire{Source: source, w: w, worker: k, caps: source.Capabilities()}
	c, err := consumer.New(x, handler.Chain(handler.HandlerFunc(k.handle), chain...), &consumer.Config{
		Concurrency: concurrency, DrainTimeout: w.p.drain, StopTimeout: w.p.stop,
		Gates: []handler.Gate{w.gate.of(w)}, Observers: []handler.Observer{observer{w}}, Logger: log, Name: k.name,
	})
	if err != nil {
		return nil, err
	}
	k.c = c
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	go func() {
		defer close(k.done)
		err := c.Run(ctx)
		k.ended(err)
	}()
	return k, nil
}

// ended checks how Run has ended.
func (k *worker) ended(err error) {
	w := k.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if k.asked.IsZero() {
		w.find(ruleError, nil, "Run of %s ended by itself: %v", k.name, err)
		return
	}
	took := time.Since(k.asked)
	k.gone = true
	if errors.Is(err, consumer.ErrDrainTimeout) {
		k.orphan() // it says that it could not give back what it held
	}
	w.say("%s has ended after %v: %v", k.name, took, err)
	if !k.killed && err != nil && !errors.Is(err, consumer.ErrDrainTimeout) {
		w.find(ruleError, nil, "Run of %s: %v", k.name, err)
	}
	if budget := w.p.drain + w.p.stop; took > budget+slack {
		w.find(ruleBudget, nil, "Run of %s took %v to end; DrainTimeout and StopTimeout are %v together (killed: %t)", k.name, took, budget, k.killed)
	}
}

// orphan notes that what a worker holds was not given back. w.mu is held.
func (k *worker) orphan() {
	for _, m := range k.w.p.messages {
		for _, d := range m.deliveries {
			if d.worker == k && !d.settled && !d.released {
				d.troubled = true
			}
		}
	}
}

// slack is what Run may take beyond its budget: this suite's own way of
// measuring.
const slack = 50 * time.Millisecond

// dismiss stops a worker as a deploy does. It does not wait.
func (k *worker) dismiss() {
	k.w.mu.Lock()
	k.w.say("%s is stopped", k.name)
	k.stopping, k.asked = true, time.Now()
	k.w.mu.Unlock()
	k.stop()
}

// kill has a worker vanish: its requests are cut, its handlers end, and nothing
// that it does reaches anybody any more.
func (k *worker) kill() {
	w := k.w
	w.mu.Lock()
	w.say("%s is killed", k.name)
	k.killed, k.stopping, k.asked = true, true, time.Now()
	close(k.dead)
	for cancel := range k.onKill {
		(*cancel)()
	}
	now := time.Now()
	for _, m := range w.p.messages {
		for _, r := range m.runs {
			if r.worker == k.name && r.ended.IsZero() {
				r.ended, r.killed = now, true
				w.note(m, "killed in its handler")
			}
		}
	}
	k.orphan()
	w.mu.Unlock()
	k.c.Abort()
	k.stop()
}

// onDeath has cancel called when the worker is killed.
func (k *worker) onDeath(cancel context.CancelFunc) (forget func()) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if k.killed {
		cancel()
	}
	key := &cancel
	k.onKill[key] = struct{}{}
	return func() { k.w.locked(func() { delete(k.onKill, key) }) }
}

type runKey struct{}

// outermost is the middleware around all others: it sees each call and its
// verdict.
func (k *worker) outermost(next handler.Handler) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) (err error) {
		w := k.w
		msg, r := k.begin(m)
		if msg == nil {
			return handler.Reject(errors.New("unknown"))
		}
		end := func() {
			if r.ended.IsZero() {
				r.ended = time.Now()
			}
		}
		told := context.AfterFunc(ctx, func() { w.locked(end) })
		panicked := true
		defer func() {
			told()
			w.mu.Lock()
			defer w.mu.Unlock()
			end()
			r.returned = true
			if panicked {
				r.verdict = handler.Verdict{Err: errors.New("it panicked")}
				w.note(msg, "its handler panicked or ended its goroutine")
			} else {
				r.verdict = handler.VerdictOf(err)
				r.cut = invoke.Is(err, handler.ErrStopped)
				w.note(msg, "verdict: %v delay=%v postponed=%t", r.verdict.Action, r.verdict.Delay, r.verdict.Postponed)
			}
			// A postponement spends nothing, nor does what no handler has seen.
			worked := slices.ContainsFunc(msg.effects, func(e effect) bool { return e.run == r })
			if d := r.delivery; d != nil && !worked && !k.gone && (r.verdict.Postponed || !r.reached && !panicked && r.verdict.Action == handler.ActionRetry) {
				d.runs--
			}
		}()
		err = next.Handle(context.WithValue(ctx, runKey{}, &ticket{msg, r}), m)
		panicked = false
		return err
	})
}

// A ticket goes with a handler's context.
type ticket struct {
	m *message
	r *run
}

func ticketOf(ctx context.Context) *ticket {
	t, _ := ctx.Value(runKey{}).(*ticket)
	return t
}

// begin notes that the handler chain is called.
func (k *worker) begin(m *handler.Message) (*message, *run) {
	w := k.w
	w.mu.Lock()
	defer w.mu.Unlock()
	msg := w.byID[string(m.Body)]
	if msg == nil {
		w.find(ruleError, nil, "a handler is called with a message that nobody sent: %q", m.Body)
		return nil, nil
	}
	r := &run{worker: k.name, by: k, attempt: m.Attempt, began: time.Now()}
	if d := w.byBody[unsafe.SliceData(m.Body)]; d != nil && d.worker == k {
		r.delivery = d
		d.runs++
	} else {
		w.find(ruleError, msg, "a handler on %s is called with a message that it was not given", k.name)
	}
	if k.killed {
		r.ended, r.killed = r.began, true
	}
	msg.runs = append(msg.runs, r)
	w.note(msg, "handler chain called on %s, attempt %d", k.name, m.Attempt)
	return msg, r
}

// handle is the innermost handler.
func (k *worker) handle(ctx context.Context, m *handler.Message) error {
	w := k.w
	t := ticketOf(ctx)
	w.mu.Lock()
	t.r.reached = true
	a := t.m.act(t.m.calls)
	t.m.calls++
	w.note(t.m, "handler: %v", a)
	if !k.killed {
		k.checkStart(t.m, t.r)
	}
	w.mu.Unlock()
	// The work of the middleware behind it may overlap with another run's.
	defer func() { w.locked(func() { t.r.worked = true }) }()
	return k.perform(ctx, t, m, a)
}

var (
	errBoom   = errors.New("boom")
	errKilled = errors.New("the process is dead")
)

// nilError is an error whose methods panic when it is nil.
type nilError struct{ err error }

func (e *nilError) Error() string { return e.err.Error() }
func (e *nilError) Unwrap() error { return e.err }

func (k *worker) perform(ctx context.Context, t *ticket, m *handler.Message, a act) error {
	switch a.kind {
	case actFail:
		if err := k.work(ctx, a.d); err != nil {
			return err
		}
		return errBoom
	case actAfter:
		return handler.RetryAfter(a.d, errBoom)
	case actPostpone:
		return handler.Postpone(a.d, errors.New("not yet"))
	case actReject:
		return handler.Reject(errBoom)
	case actPermanent:
		return fmt.Errorf("around: %w", permanent(errBoom))
	case actDrop:
		return handler.Drop(errBoom)
	case actPanic:
		panic("boom")
	case actGoexit:
		runtime.Goexit()
	case actNilFail:
		return (*nilError)(nil)
	case actNilReject:
		return handler.Reject((*nilError)(nil))
	case actKeep, actHook:
		if a.kind == actHook {
			m.Lease().OnExtend(func(time.Time) {
				if k.w.roll(50) {
					runtime.Goexit()
				}
				panic("the hook of OnExtend panics")
			})
		}
		stop, err := m.Lease().Keep(handler.KeepOptions{})
		if err == nil {
			defer stop()
		}
	case actExtend:
		_ = m.Lease().Extend(ctx, k.w.p.lease+time.Second) // what it says is the context's affair
	case actStubborn:
		select {
		case <-time.After(a.d):
		case <-k.dead:
		}
	}
	if err := k.work(ctx, a.d); err != nil {
		return err
	}
	return k.succeed(ctx, t, m)
}

// work lasts for d, or until it must end.
func (k *worker) work(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-k.dead:
	}
	return k.over(ctx)
}

// over returns why a handler must not go on.
func (k *worker) over(ctx context.Context) error {
	select {
	case <-k.dead:
		return errKilled
	default:
		return context.Cause(ctx)
	}
}

// succeed has the effect, unless the handler must not have it any more.
func (k *worker) succeed(ctx context.Context, t *ticket, m *handler.Message) error {
	w := k.w
	deadline := m.Lease().Deadline()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := k.over(ctx); err != nil {
		return err
	}
	if now := time.Now(); !deadline.IsZero() && !now.Before(deadline) {
		return handler.ErrLeaseLost
	}
	t.m.effects = append(t.m.effects, effect{time.Now(), t.r})
	w.note(t.m, "EFFECT on %s", k.name)
	k.checkEffect(t.m)
	return nil
}

// roll rolls the dice.
func (w *world) roll(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.chance(percent)
}

// mayPanic panics now and then, if the program says so.
func (w *world) mayPanic(what string) {
	w.mu.Lock()
	strike := !w.calm && w.p.hookFaults > 0 && w.dice.chance(w.p.hookFaults)
	w.mu.Unlock()
	if strike {
		panic(what + " panics")
	}
}

// The hooks.

type observer struct{ w *world }

func (o observer) Observe(handler.Event) { o.w.mayPanic("the observer") }

type logger struct {
	w      *world
	worker *worker
}

func (*logger) Enabled(context.Context, slog.Level) bool { return true }
func (l *logger) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *logger) WithGroup(string) slog.Handler          { return l }

func (l *logger) Handle(_ context.Context, r slog.Record) error {
	l.w.mayPanic("the log handler")
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "stack" && a.Key != "stacks" {
			text += " " + a.String()
		}
		return true
	})
	if len(text) > 300 {
		text = text[:300]
	}
	l.w.locked(func() {
		if len(l.w.log) < 2000 {
			l.w.say("%s logs: %s", l.worker.name, text)
		}
	})
	return nil
}

// gate is what holds back receiving, in all workers.
type gate struct {
	mu       sync.Mutex
	closed   bool
	narrow   int
	reopened chan struct{}
}

func newGate() *gate { return &gate{reopened: make(chan struct{})} }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) restrict(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.narrow = n
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.narrow = false, 0
	close(g.reopened)
	g.reopened = make(chan struct{})
}

type gateOf struct {
	*gate
	w *world
}

func (g *gate) of(w *world) handler.Gate { return gateOf{g, w} }

func (g gateOf) Admit(want int) (int, <-chan struct{}) {
	g.w.mayPanic("the gate")
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return 0, g.reopened
	case g.narrow > 0:
		return min(want, g.narrow), nil
	}
	return want, nil
}
