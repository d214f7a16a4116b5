package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// BatchConfig says when [Batch] closes a batch: as soon as one of the limits is
// reached. The zero BatchConfig has the defaults.
type BatchConfig struct {
	// MaxCount is the most messages in a batch. Zero means 100.
	// A batch can never be larger than the number of messages that the runtime
	// handles immediately; with a MaxCount above that, every batch waits for
	// MaxWait.
	MaxCount int

	// MaxBytes is the most bytes of bodies in a batch. A message that would exceed
	// it begins the next batch. A single larger message forms a batch alone. Zero
	// means no limit.
	MaxBytes int

	// MaxWait is how long the first message of a batch waits for the others. Zero
	// means 50 ms. It is part of the time that each message is held, so it must be
	// short beside the lease, or the heartbeat middleware must keep that. A
	// shutdown does not shorten it: an incomplete batch is handled when its wait
	// is over, if that is within the consumer's DrainTimeout, and released
	// otherwise.
	MaxWait time.Duration
}

// complete returns a copy of c with its defaults, and its faults. This package
// imports none of ours, so that it has no table of package setting.
func (c *BatchConfig) complete() (BatchConfig, error) {
	var d BatchConfig
	if c != nil {
		d = *c
	}
	var faults []error
	for _, f := range []struct {
		name  string
		value any
		bad   bool
	}{
		{"MaxCount", d.MaxCount, d.MaxCount < 0},
		{"MaxBytes", d.MaxBytes, d.MaxBytes < 0},
		{"MaxWait", d.MaxWait, d.MaxWait < 0},
	} {
		if f.bad {
			faults = append(faults, fmt.Errorf("%s is %v: it must not be negative", f.name, f.value))
		}
	}
	d.MaxCount = cmp.Or(d.MaxCount, 100)
	d.MaxWait = cmp.Or(d.MaxWait, 50*time.Millisecond)
	return d, errors.Join(faults...)
}

// Batch returns a handler that gathers concurrent calls into batches for h and
// gives each call its own message's verdict. It works under any runtime that
// handles several messages at the same time, and the handler can be wrapped in middleware
// like any other: the middleware sees single messages, and its times include
// the gathering. A nil config has the defaults.
//
// A call returns when its batch is done, never before, since h may hold its
// message until then. If a call's context ends while the batch is still gathering,
// the call leaves the batch and returns the context's cause. Once h runs, h's
// context is canceled when those of all messages in the batch have ended, with
// the last one's cause: one lost lease does not undo the work on the others. That
// context has no deadline. It has the values of the context that the runtime was
// started with, and none that middleware adds for a message, such as a span;
// [MessageContext] returns a message's own context. (Under a runtime that does not
// call [WithShared] it has the values that are equal for all of at least two
// messages.) Middleware that gives a message what others must not use, such as a
// transaction, refuses a batch handler when it is built; see [Singly].
//
// If h panics, ends its goroutine (runtime.Goexit) or returns a slice of the
// wrong length, every message of the batch is retried, and each is then handled in
// a batch of its own, so that one bad message does not use up the attempts of the
// others. Each call returns the same error, a [*PanicError] for a panic, which the
// runtime logs once, a panic with its stack, and counts as one panic. A message
// that has a lease and was not alone is postponed by that error ([Postpone]), which
// spends none of its attempts.
//
// On an ordered queue a batch has at most one message of each group.
func Batch(h BatchHandler, config *BatchConfig) (Handler, error) {
	if f, ok := h.(BatchHandlerFunc); h == nil || ok && f == nil {
		return nil, errors.New("batch: the handler is nil")
	}
	c, err := config.complete()
	if err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	return &batcher{h: h, config: c}, nil
}

// batcher has at most one batch that gathers; those that run are on their own.
type batcher struct {
	h      BatchHandler
	config BatchConfig

	mu        sync.Mutex
	gathering *batch
	suspects  suspects // guarded by mu
}

type batch struct {
	calls []*batchCall
	bytes int
	timer *time.Timer

	// Set when the batch starts, guarded by the batcher's mutex.
	started bool
	live    int
	cancel  context.CancelCauseFunc
}

type batchCall struct {
	ctx  context.Context
	m    *Message
	key  string // by which suspects know the message
	done chan error
}

func (b *batcher) Handle(ctx context.Context, m *Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := singly(ctx); err != nil {
		return err
	}
	call := &batchCall{ctx: ctx, m: m, key: suspectKey(m), done: make(chan error, 1)}
	in := b.join(call)
	select {
	case err := <-call.done:
		return err
	case <-ctx.Done():
		if b.leave(in, call) {
			return context.Cause(ctx)
		}
		return <-call.done
	}
}

// join puts the call into the gathering batch, beginning one if there is
// none, and starts the batches that are full.
func (b *batcher) join(call *batchCall) *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.suspects.has(call.key) {
		alone := &batch{calls: []*batchCall{call}}
		b.launch(alone)
		return alone
	}
	size := len(call.m.Body)
	if g := b.gathering; g != nil && b.config.MaxBytes > 0 && g.bytes+size > b.config.MaxBytes {
		b.start(g)
	}
	g := b.gathering
	if g == nil {
		g = &batch{}
		g.timer = time.AfterFunc(b.config.MaxWait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.start(g)
		})
		b.gathering = g
	}
	g.calls = append(g.calls, call)
	g.bytes += size
	if len(g.calls) >= b.config.MaxCount || (b.config.MaxBytes > 0 && g.bytes >= b.config.MaxBytes) {
		b.start(g)
	}
	return g
}

// leave takes the call out of its batch, or says that it is too late: then the
// batch's context ends once all of its calls have wanted to leave.
func (b *batcher) leave(g *batch, call *batchCall) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.started {
		if g.live--; g.live == 0 {
			g.cancel(context.Cause(call.ctx))
		}
		return false
	}
	for i, other := range g.calls {
		if other == call {
			g.calls = append(g.calls[:i], g.calls[i+1:]...)
			break
		}
	}
	g.bytes -= len(call.m.Body)
	if len(g.calls) == 0 {
		g.timer.Stop()
		b.gathering = nil
	}
	return true
}

// start runs the batch on a new goroutine. The timer and a full batch can both
// ask for it, and the timer can be late for a batch that all have left.
func (b *batcher) start(g *batch) {
	if g.started || b.gathering != g {
		return
	}
	g.timer.Stop()
	b.gathering = nil
	b.launch(g)
}

// launch runs the batch on a new goroutine. The batcher's mutex is held.
func (b *batcher) launch(g *batch) {
	g.started = true
	g.live = len(g.calls)
	ctx, cancel := context.WithCancelCause(newBatchContext(g.calls))
	g.cancel = cancel
	go b.run(ctx, g)
}

func (b *batcher) run(ctx context.Context, g *batch) {
	defer g.cancel(nil)
	ms := make([]*Message, len(g.calls))
	for i, call := range g.calls {
		ms[i] = call.m
	}
	var errs []error
	var fault error = &batchFault{text: "the batch handler ended its goroutine (runtime.Goexit): every message is retried"}
	// Deferred, because the calls must be answered even if h panics or calls
	// runtime.Goexit.
	defer func() {
		if v := recover(); v != nil {
			fault = &PanicError{Value: v, Stack: debug.Stack()}
		}
		postponed := b.judge(g, fault != nil)
		for i, call := range g.calls {
			switch {
			case fault != nil && postponed[i]:
				call.done <- Postpone(0, fault)
			case fault != nil:
				call.done <- fault
			case errs != nil:
				call.done <- errs[i]
			default:
				call.done <- nil
			}
		}
	}()
	errs = b.h.HandleBatch(ctx, ms)
	fault = nil
	if errs != nil && len(errs) != len(g.calls) {
		fault = &batchFault{text: fmt.Sprintf("the batch handler returned %d verdicts for %d messages: every message is retried", len(errs), len(g.calls))}
	}
}

// judge remembers the messages of a batch at which the handler has failed as a whole, and
// forgets those of another. It reports which of them are postponed: after a failure those
// that are not the only suspect, will be known again, and can be kept in hand. Without a
// lease a message would go back to its queue, which counts an attempt in any case.
func (b *batcher) judge(g *batch, failed bool) (postponed []bool) {
	postponed = make([]bool, len(g.calls))
	for i, call := range g.calls {
		postponed[i] = failed && len(g.calls) > 1 && call.key != "" && !call.m.Lease().Deadline().IsZero()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, call := range g.calls {
		if failed {
			b.suspects.add(call.key)
		} else {
			b.suspects.remove(call.key)
		}
	}
	return postponed
}

// batchFault is a batch handler's fault other than a panic: one error for all
// messages of the batch.
type batchFault struct {
	text string
	told atomic.Bool
}

func (e *batchFault) Error() string { return e.text }

// FirstReport returns true to its first caller, as PanicError's does.
func (e *batchFault) FirstReport() bool { return e.told.CompareAndSwap(false, true) }
