package handlertest

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// A Lease is a [handler.Lease] whose provider is the test. Its deadline is
// enforced: when it passes, the lease is lost. It is safe for concurrent use.
type Lease struct {
	time   timeSource
	length time.Duration

	// hooks is held while an OnExtend function runs, and never together with mu.
	hooks sync.Mutex

	mu         sync.Mutex
	deadline   time.Time
	lost       bool
	ended      bool
	failure    error
	extensions []time.Time
	onExtend   func(time.Time)
	stopExpiry func()
	cancel     context.CancelCauseFunc

	// The beat: keep is nil while no one has asked for the lease to be kept.
	keep     *handler.KeepOptions
	keepEnd  time.Time
	stopBeat func()
}

var _ handler.Lease = (*Lease)(nil)

// NewLease returns a lease that ends length from now by the clock; a nil clock
// is the time package. Bind it to a message with [handler.Message.Bind], use
// the context that [Lease.Context] gives, and call [Lease.End] when the handler
// has returned. A [Queue] does all that by itself.
func NewLease(length time.Duration, clock *Clock) *Lease {
	l := &Lease{time: timeSource{clock}, length: length}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setDeadline(length)
	return l
}

// Deadline implements [handler.Lease].
func (l *Lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

// Extend implements [handler.Lease].
func (l *Lease) Extend(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	deadline, err := l.extend(d)
	l.mu.Unlock()
	if err == nil {
		// It does not run on this goroutine: the function may block on something that
		// the handler holds.
		go l.callHook(deadline)
	}
	return err
}

// Keep implements [handler.Lease].
func (l *Lease) Keep(o handler.KeepOptions) (stop func(), err error) {
	if o.Extension == 0 {
		o.Extension = l.length
	}
	if o.Fraction == 0 {
		o.Fraction = 0.5
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost || l.ended {
		return func() {}, handler.ErrLeaseLost
	}
	l.stopKeeping()
	mine := &o
	l.keep = mine
	l.keepEnd = time.Time{}
	if o.Max > 0 {
		l.keepEnd = l.time.now().Add(o.Max)
	}
	l.scheduleBeat()
	return func() {
		l.mu.Lock()
		if l.keep == mine {
			l.stopKeeping()
		}
		l.mu.Unlock()
		// An extension on its way holds mu, so it is over by now. Its OnExtend
		// function may still run: that is not part of the extension.
	}, nil
}

// OnExtend implements [handler.Lease].
func (l *Lease) OnExtend(f func(deadline time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onExtend = f
}

// Lose takes the lease away, as if the provider had given the message to
// another worker: the context is canceled with [handler.ErrLeaseLost], and
// every extension is refused with it.
func (l *Lease) Lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose()
}

// FailExtensions has every extension from now on fail with err, without losing
// the lease; a lease that is kept then tries again until its deadline. Nil lets
// them succeed again.
func (l *Lease) FailExtensions(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
}

// Kept returns the options with which the lease is being kept, defaults filled
// in, and false if no one has asked for it or it was stopped.
func (l *Lease) Kept() (handler.KeepOptions, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keep == nil {
		return handler.KeepOptions{}, false
	}
	return *l.keep, true
}

// Extensions returns the deadlines that successful extensions have set, in
// their order.
func (l *Lease) Extensions() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Time(nil), l.extensions...)
}

// Context returns a context that is canceled with [handler.ErrLeaseLost] when
// the lease is lost. It is called once.
func (l *Lease) Context(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel = cancel
	if l.lost {
		cancel(handler.ErrLeaseLost)
	}
	return ctx
}

// End ends the lease: the handler has returned. Nothing is extended any more
// and the context is released. It reports whether the lease was still held.
func (l *Lease) End() (held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopKeeping()
	l.stopExpiry()
	l.ended = true
	if l.cancel != nil {
		l.cancel(context.Canceled)
	}
	return !l.lost
}

// The methods below are called with mu held.

func (l *Lease) setDeadline(d time.Duration) {
	if l.stopExpiry != nil {
		l.stopExpiry()
	}
	deadline := l.time.now().Add(d)
	l.deadline = deadline
	l.stopExpiry = l.time.afterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.deadline.Equal(deadline) { // not extended since this timer went off
			l.lose()
		}
	})
}

func (l *Lease) extend(d time.Duration) (time.Time, error) {
	if l.lost || l.ended {
		return time.Time{}, handler.ErrLeaseLost
	}
	if l.failure != nil {
		return time.Time{}, l.failure
	}
	l.setDeadline(d)
	l.extensions = append(l.extensions, l.deadline)
	if l.keep != nil {
		l.scheduleBeat()
	}
	return l.deadline, nil
}

func (l *Lease) lose() {
	if l.lost || l.ended {
		return
	}
	l.lost = true
	l.stopKeeping()
	l.stopExpiry()
	if l.cancel != nil {
		l.cancel(handler.ErrLeaseLost)
	}
}

func (l *Lease) stopKeeping() {
	if l.stopBeat != nil {
		l.stopBeat()
		l.stopBeat = nil
	}
	l.keep = nil
}

func (l *Lease) scheduleBeat() {
	left := time.Duration(float64(l.keep.Extension) * l.keep.Fraction)
	l.beatIn(l.deadline.Sub(l.time.now()) - left)
}

func (l *Lease) beatIn(d time.Duration) {
	if l.stopBeat != nil {
		l.stopBeat()
		l.stopBeat = nil
	}
	d = max(d, 0)
	if !l.keepEnd.IsZero() && l.time.now().Add(d).After(l.keepEnd) {
		return
	}
	mine := l.keep
	l.stopBeat = l.time.afterFunc(d, func() { l.beat(mine) })
}

// beat extends the lease for one call of Keep. It takes mu itself.
func (l *Lease) beat(mine *handler.KeepOptions) {
	l.mu.Lock()
	if l.keep != mine {
		l.mu.Unlock()
		return
	}
	deadline, err := l.extend(mine.Extension)
	if err != nil {
		// Like the runtime, try again while there is time. The last try is a
		// millisecond before the end at the latest, so this comes to one.
		if retry := l.deadline.Sub(l.time.now()) / 2; retry > time.Millisecond {
			l.beatIn(retry)
		}
	}
	l.mu.Unlock()
	if err == nil {
		l.callHook(deadline)
	}
}

// callHook runs the OnExtend function, one at a time. It takes the mutexes
// itself.
func (l *Lease) callHook(deadline time.Time) {
	l.hooks.Lock()
	defer l.hooks.Unlock()
	l.mu.Lock()
	f := l.onExtend
	if l.ended {
		f = nil
	}
	l.mu.Unlock()
	if f != nil {
		f(deadline)
	}
}
