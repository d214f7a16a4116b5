package breaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/internal/unhandled"
)

// ErrOpen is in the error with which a message is retried because of a breaker.
var ErrOpen = errors.New("breaker is open")

// A Breaker guards one dependency. It is a [handler.Gate], and its Middleware
// method is a [handler.Middleware]. It is safe for concurrent use, and one
// Breaker may serve several consumers whose handlers need the same dependency.
type Breaker struct {
	config Config

	mu    sync.Mutex
	state State
	// era counts changes of state. The outcome of a message that entered in
	// another era says nothing about this one.
	era     uint64
	pause   time.Duration // how long it was open last, without the random part
	until   time.Time     // when it stops being open
	counts  window
	changed chan struct{} // closed at each change that may let messages through

	// While half-open.
	checking  bool // Check runs
	checked   bool // Check has succeeded, or there is none
	probing   int  // probes on their way
	succeeded int
	doubts    int // probes whose failure was doubtful

	// Since it was closed last.
	unsure bool // doubtful failures opened it
	rounds int  // half-open rounds that failed

	changes   []change // not yet told
	notifying bool
}

type change struct {
	from, to State
	cause    error
	pause    time.Duration
}

var _ handler.Gate = (*Breaker)(nil)

// New returns a closed breaker. A nil config has the defaults.
func New(config *Config) (*Breaker, error) {
	c, err := config.complete()
	if err != nil {
		return nil, fmt.Errorf("breaker %q: %w", c.Name, err)
	}
	return &Breaker{config: c, counts: newWindow(c.Window), changed: make(chan struct{})}, nil
}

// State returns the present state.
func (b *Breaker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Admit implements [handler.Gate]: all while closed, none while open, and while
// half-open as many as there are probes to be made.
func (b *Breaker) Admit(want int) (n int, reopened <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = b.room(want)
	if n == 0 {
		return 0, b.changed
	}
	return n, nil
}

// Middleware guards next. Give it to handler.Chain as a method value.
func (b *Breaker) Middleware(next handler.Handler) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		era, p, wait, entered := b.enter()
		if !entered {
			return handler.Postpone(wait, b.explain(nil))
		}
		left := false
		// Deferred, because a panic or a runtime.Goexit, of the handler or of
		// Failure, must give the probe's place back too.
		defer func() {
			if !left {
				b.leave(era, p, neutral, nil)
			}
		}()
		work, skipped := unhandled.Watch(ctx)
		err := next.Handle(work, m)
		judged := neutral // if the dependency was not asked
		if !skipped.Noted() {
			judged = b.judge(ctx, err)
		}
		left = true
		if d, failed := b.leave(era, p, judged, err); failed && spared(err) {
			return b.delay(d, err)
		}
		return err
	})
}

func (b *Breaker) judge(ctx context.Context, err error) outcome {
	if err == nil {
		return success
	}
	if ctx.Err() != nil {
		// Nobody waited for the dependency any more.
		if cause := context.Cause(ctx); invoke.Is(cause, handler.ErrStopped) || invoke.Is(cause, handler.ErrLeaseLost) || invoke.Is(cause, idempotency.ErrClaimLost) {
			return neutral
		}
	}
	switch {
	case !b.config.Failure(err):
		return neutral
	case b.config.named || backoff.Classify(err) == backoff.Transient:
		return failure
	default:
		return doubtful
	}
}

// spared reports whether a message that failed during an outage is delayed. A verdict
// of the handler that ends the message, or postpones it, stands. A message whose
// attempts are used up is spared until it has had twice as many; the attempt number
// bounds that without a memory of messages.
func spared(err error) bool {
	switch v := invoke.VerdictOf(err); v.Action {
	case handler.ActionRetry:
		return !v.Postponed
	case handler.ActionDeadLetter:
	default:
		return false
	}
	e, ok := invoke.As[interface {
		error
		Attempts() (attempt, limit int)
	}](err)
	if !ok {
		return false
	}
	attempt, limit := e.Attempts()
	return attempt/2 < limit
}

// delay has a failed message retried when the breaker is no longer open, or
// later if that is its own wish.
func (b *Breaker) delay(d time.Duration, err error) error {
	if v := invoke.VerdictOf(err); v.Action == handler.ActionRetry && v.Delayed && v.Delay > d {
		return err
	}
	return handler.RetryAfter(d, b.explain(err))
}

func (b *Breaker) explain(err error) error {
	if err == nil {
		return fmt.Errorf("%s: %w", b.config.Name, ErrOpen)
	}
	return fmt.Errorf("%s: %w: %w", b.config.Name, ErrOpen, err)
}

// A probe is a message that was let through while half-open.
type probe struct {
	timer *time.Timer // gives its place back if it does not
	over  bool
}

// enter lets a message in, or says in how long it may try again. The probe is
// nil unless the message is one.
func (b *Breaker) enter() (era uint64, p *probe, wait time.Duration, entered bool) {
	b.mu.Lock()
	if b.room(1) == 0 {
		left, pause := b.remaining()
		b.mu.Unlock()
		return 0, nil, b.spread(left, pause), false
	}
	defer b.mu.Unlock()
	if b.state == HalfOpen {
		p = b.probe()
	}
	return b.era, p, 0, true
}

// probe takes a place for one. It is called with mu held.
func (b *Breaker) probe() *probe {
	b.probing++
	p, era := &probe{}, b.era
	p.timer = time.AfterFunc(b.config.ProbeTimeout, func() { b.giveUp(era, p) })
	return p
}

// leave counts an outcome. If it is a failure and the breaker is not closed,
// it also returns in how long the message may try again.
func (b *Breaker) leave(era uint64, p *probe, o outcome, err error) (wait time.Duration, failed bool) {
	var spread float64
	if o.failed() {
		spread, err = b.random(), invoke.Safe(err)
	}
	b.mu.Lock()
	if p != nil {
		p.timer.Stop()
		p.over = true
	}
	if era == b.era {
		b.count(p != nil, o, err, spread)
	}
	failed = o.failed() && b.state != Closed
	left, pause := b.remaining()
	untold := len(b.changes) > 0
	b.mu.Unlock()
	if failed {
		wait = b.spread(left, pause)
	}
	if untold {
		b.notify()
	}
	return wait, failed
}

// giveUp counts a probe that has not ended in time as failed.
func (b *Breaker) giveUp(era uint64, p *probe) {
	spread := b.random()
	b.mu.Lock()
	if b.era == era && !p.over {
		b.open(fmt.Errorf("a probe has not ended within %v", b.config.ProbeTimeout), spread)
	}
	b.mu.Unlock()
	b.notify()
}

// check runs the user's check in a new goroutine.
func (b *Breaker) check(era uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), b.config.ProbeTimeout)
	defer cancel()
	err := invoke.Safe(b.callCheck(ctx))
	spread := b.random()
	b.mu.Lock()
	if b.era == era {
		b.checking = false
		if err == nil {
			b.checked = true
			b.wake()
		} else {
			b.open(fmt.Errorf("check: %w", err), spread)
		}
	}
	b.mu.Unlock()
	b.notify()
}

// callCheck turns a panic, and the end of its goroutine, into an error: there is
// no handler here whose runtime would notice. A check that ignores its context is
// left behind when its time is over.
func (b *Breaker) callCheck(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		var err error
		if fault := invoke.DoApart(func() { err = b.config.Check(ctx) }); fault != nil {
			err = fault
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(checkGrace)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("it has not ended within %v", b.config.ProbeTimeout)
	}
}

// checkGrace is what a check that heeds its context gets to return.
const checkGrace = 100 * time.Millisecond

// spread adds a random part of pause to left. The sum ends at the longest
// duration, which float64 can't hold exactly.
func (b *Breaker) spread(left, pause time.Duration) time.Duration {
	part := pause
	if f := b.random() * float64(pause); f < float64(pause) {
		part = time.Duration(f)
	}
	return left + min(part, math.MaxInt64-left)
}

// random returns a number from [0, 1). It calls user code and is never called with
// mu held.
func (b *Breaker) random() (f float64) {
	if invoke.DoApart(func() { f = b.config.Random() }) != nil || !(f >= 0 && f < 1) {
		return rand.Float64()
	}
	return f
}

// room and the methods below are called with mu held, except notify.

// room returns how many of want messages may come in now.
func (b *Breaker) room(want int) int {
	switch b.state {
	case Closed:
		return want
	case HalfOpen:
		if !b.checked {
			if !b.checking {
				b.checking = true
				go b.check(b.era)
			}
			return 0
		}
		return min(want, b.config.Probes-b.succeeded-b.probing)
	default:
		return 0
	}
}

// remaining is in how long a refused message may try again: once the breaker is no
// longer open, and then spread over the length of a pause.
func (b *Breaker) remaining() (left, pause time.Duration) {
	return max(time.Until(b.until), 0), b.pause
}

// count takes the outcome of a message of this era into account.
func (b *Breaker) count(probe bool, o outcome, err error, spread float64) {
	if probe {
		b.probing--
		switch o {
		case success:
			if b.succeeded++; b.succeeded >= b.config.Probes {
				b.pause = 0
				b.counts.clear()
				b.change(Closed, nil)
			}
		case doubtful:
			if b.doubts++; b.doubts > b.patience() {
				b.open(err, spread)
				return
			}
			b.wake()
		case failure:
			b.unsure = false
			b.open(err, spread)
		case neutral:
			b.wake() // its place is free for another
		}
		return
	}
	if b.state != Closed || o == neutral {
		return
	}
	now := time.Now()
	b.counts.add(now, o)
	if !o.failed() {
		return
	}
	total, doubts, failed := b.counts.sum(now)
	most := b.config.Ratio * float64(total)
	switch {
	case total >= b.config.MinCount && float64(failed) >= most:
		b.unsure = false
		b.open(err, spread)
	case total >= b.config.MinUnknown && float64(failed+doubts) >= most:
		b.unsure = true
		b.open(err, spread)
	}
}

// knownPatience is the patience with probes if the dependency was known to be down.
const knownPatience = 3

// patience is how many probes may fail for reasons that may be the handler's own
// before the breaker opens again. The dependency may be up, and the messages poison:
// if such failures opened the breaker, the patience doubles with each round, up to as
// many as opened it. So the time that n poison messages cost grows with log n.
func (b *Breaker) patience() int {
	if !b.unsure {
		return knownPatience
	}
	return min(b.config.MinUnknown/(2*defaultMinCount)<<min(b.rounds, 16), b.config.MinUnknown)
}

// open opens the breaker, for twice as long as the last time unless it was
// closed meanwhile.
func (b *Breaker) open(cause error, random float64) {
	switch {
	case b.pause == 0:
		b.pause, b.rounds = b.config.OpenFor, 0
	case b.pause < b.config.MaxOpenFor/2:
		b.pause *= 2
	default:
		b.pause = b.config.MaxOpenFor
	}
	if b.state == HalfOpen {
		b.rounds++
	}
	spread := b.pause + min(time.Duration(random*float64(b.pause)/5), math.MaxInt64-b.pause)
	b.until = time.Now().Add(spread)
	b.change(Open, cause)
	era := b.era
	time.AfterFunc(spread, func() {
		b.mu.Lock()
		if b.era == era {
			b.change(HalfOpen, nil)
		}
		b.mu.Unlock()
		b.notify()
	})
}

func (b *Breaker) change(to State, cause error) {
	b.changes = append(b.changes, change{from: b.state, to: to, cause: cause, pause: b.pause})
	b.state = to
	b.era++
	b.probing, b.succeeded, b.doubts = 0, 0, 0
	b.checking, b.checked = false, b.config.Check == nil
	if to != Open {
		b.wake()
	}
}

// wake makes those who wait at the gate ask again.
func (b *Breaker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// notify reports changes to OnChange, in order and with mu not held, so that it may
// look at the breaker. A change that comes while another is being reported is left to
// the goroutine that reports it. The logger has the time that it takes: nobody waits for it
// but the goroutine that was reporting.
func (b *Breaker) notify() {
	b.mu.Lock()
	if b.notifying {
		b.mu.Unlock()
		return
	}
	b.notifying = true
	var told []change
	func() {
		defer b.mu.Unlock()
		defer func() { b.notifying = false }()
		for len(b.changes) > 0 {
			c := b.changes[0]
			b.changes = b.changes[1:]
			b.report(c)
			told = append(told, c)
		}
	}()
	for _, c := range told {
		b.log(c)
	}
}

// report lets go of mu while it reports. OnChange runs on its own goroutine, which it may
// end: on the caller's, the verdict of a handler would be lost.
func (b *Breaker) report(c change) {
	if b.config.OnChange == nil {
		return
	}
	b.mu.Unlock()
	defer b.mu.Lock()
	failed := invoke.DoApart(func() { b.config.OnChange(c.from, c.to, c.cause) })
	if failed == nil {
		return
	}
	what, attrs := "ended its goroutine", []slog.Attr{slog.String("breaker", b.config.Name)}
	if p, ok := invoke.As[*handler.PanicError](failed); ok {
		what = "panicked"
		attrs = append(attrs, slog.Any("error", p), slog.String("stack", string(p.Stack)))
	}
	b.config.Logger.LogAttrs(context.Background(), slog.LevelError, "the breaker's OnChange "+what, attrs...)
}

func (b *Breaker) log(c change) {
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("breaker", b.config.Name), slog.String("from", c.from.String()), slog.String("to", c.to.String()),
	}
	if c.to == Open {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Duration("pause", c.pause), slog.Any("error", c.cause))
	}
	b.config.Logger.LogAttrs(context.Background(), level, "breaker "+c.to.String(), attrs...)
}
