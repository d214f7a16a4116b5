package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// overrun is how long a request may take to return after the end of its context.
const overrun = time.Second

// A requester makes the requests of a producer. It has no state.
type requester struct {
	cfg   *Config
	sink  drivers.Sink
	queue string
}

// An answer is the result of a request: an error for each message, and which of
// them may pass if the message is sent again.
type answer struct {
	errs  []error // nil if all were sent
	again []bool
}

// failed returns the answer that n messages failed for good with err.
func failed(err error, n int) answer {
	return answer{errs: slices.Repeat([]error{err}, n), again: make([]bool, n)}
}

// send sends the messages in one request. The hook and the sink are the user's:
// they have a goroutine of their own, and if they ignore the end of their context
// they are left behind.
func (r *requester) send(ctx context.Context, ms []*handler.Message) answer {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.RequestTimeout)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		a := failed(invoke.ErrGoexit, len(ms)) // unless it returns
		defer func() { answers <- a }()
		a = r.call(ctx, ms)
	}()
	select {
	case a := <-answers:
		return a
	case <-ctx.Done():
	}
	t := time.NewTimer(overrun)
	defer t.Stop()
	select {
	case a := <-answers:
		return a
	case <-t.C:
	}
	r.cfg.log(slog.LevelError, "a request has not ended with its time: it is left behind", "queue", r.queue, "messages", len(ms))
	return failed(fmt.Errorf("%w: the request has not ended in its time", ErrUnknown), len(ms))
}

// call calls the hook, or the sink if there is none.
func (r *requester) call(ctx context.Context, ms []*handler.Message) answer {
	var errs, result []error
	answered := false // by the sink; errs is its answer
	sink := func(ctx context.Context, part []*handler.Message) []error {
		got := r.sink.Send(ctx, part)
		if len(part) == len(ms) {
			errs, answered = got, true
		}
		return got
	}
	panicked := invoke.Do(func() {
		if r.cfg.Send != nil {
			result = r.cfg.Send(ctx, ms, sink)
		} else {
			result = sink(ctx, ms)
		}
	})
	switch {
	case panicked != nil && answered:
		// The hook failed after the sink's answer, which is valid.
		r.cfg.log(slog.LevelError, "the Send hook panicked", "queue", r.queue, "error", panicked, "stack", string(panicked.Stack))
	case panicked != nil:
		// A second try would not find out whether the first was sent.
		r.cfg.log(slog.LevelError, "sending panicked", "queue", r.queue, "error", panicked, "stack", string(panicked.Stack))
		return failed(panicked, len(ms))
	case result != nil && len(result) != len(ms):
		return failed(errors.New("the driver, or the Send hook, returned another number of results than it was given messages"), len(ms))
	default:
		errs = result
	}
	if errs == nil {
		return answer{}
	}
	if len(errs) != len(ms) {
		return failed(errors.New("the driver returned another number of results than it was given messages"), len(ms))
	}
	again := make([]bool, len(ms))
	for i, err := range errs {
		again[i] = err != nil && codeOf(err).Retryable()
	}
	return answer{errs, again}
}

// codeOf is drivers.CodeOf for an error of a hook, whose methods may panic.
func codeOf(err error) drivers.Code {
	code := drivers.Unclassified
	if invoke.Do(func() { code = drivers.CodeOf(err) }) != nil {
		return drivers.Unclassified
	}
	return code
}
