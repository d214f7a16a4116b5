package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// overrun is how long a request may take to return after the end of its context.
const overrun = time.Second

// A requester makes the requests of a producer.
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

// send sends the messages in one request and calls done once with the answer. The hook
// and the sink are the user's. If they ignore the end of their context, done is called
// on another goroutine, and send returns when they do. If they end the goroutine, done
// is called all the same.
func (r *requester) send(life context.Context, ms []*handler.Message, done func(answer)) {
	ctx, cancel := context.WithTimeout(life, r.cfg.RequestTimeout)
	var over atomic.Bool // done was called
	heed := context.AfterFunc(ctx, func() {
		time.AfterFunc(overrun, func() {
			if !over.CompareAndSwap(false, true) {
				return
			}
			r.cfg.log(slog.LevelError, "a request has not ended with its time: it is left behind", "queue", r.queue, "messages", len(ms))
			done(failed(fmt.Errorf("%w: the request timed out", ErrUnknown), len(ms)))
		})
	})
	var a answer
	returned := false
	defer func() {
		heed()
		cancel()
		if !over.CompareAndSwap(false, true) {
			return
		}
		if !returned {
			a = failed(invoke.ErrGoexit, len(ms))
		}
		done(a)
	}()
	a = r.call(ctx, ms)
	returned = true
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
		return failed(errors.New("the driver or the Send hook returned a wrong number of results"), len(ms))
	default:
		errs = result
	}
	if errs == nil {
		return answer{}
	}
	if len(errs) != len(ms) {
		return failed(errors.New("the driver returned a wrong number of results"), len(ms))
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
