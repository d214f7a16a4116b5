package scan

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
)

// Operations that fail for the moment are tried again, this often, with pauses that double
// from the first on: drivers do not.
const (
	tries      = 5
	firstPause = 100 * time.Millisecond
)

// again waits, and reports whether the operation that failed with err should be tried
// once more.
func again(ctx context.Context, try int, err error) bool {
	if try >= tries || !drivers.CodeOf(err).Retryable() || ctx.Err() != nil {
		return false
	}
	longest := firstPause << (try - 1)
	return sleep.For(ctx, longest/2+rand.N(longest/2)) == nil //nolint:gosec // jitter needs no secrecy
}

// Send sends messages in order, as [Each] does. A request that has begun when ctx ends has
// SettleTime to finish: if it were cut short nobody would know whether the queue has the
// messages, and a letter that was sent would stay a letter. None begins after that.
func Send(ctx context.Context, sink drivers.Sink, ms []*handler.Message) []error {
	return Each(ctx, ms, len(ms), InOrder, func(ctx context.Context, ms []*handler.Message) []error {
		if err := ctx.Err(); err != nil {
			return slices.Repeat([]error{err}, len(ms))
		}
		begun, cut := outlasting(ctx, SettleTime)
		defer cut()
		return sink.Send(begun, ms)
	})
}

// outlasting returns a context for a request that is not to be cut short. It ends a while after
// ctx, or with cut.
func outlasting(ctx context.Context, while time.Duration) (later context.Context, cut func()) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(while, cancel) })
	return later, func() {
		stop()
		cancel()
	}
}

// Ended returns why ctx ended, or err if it has not.
func Ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// An Order says whether transient failures may be tried again after a permanent failure
// in the same batch. With InOrder they are not: the retried item could overtake the one
// that failed.
type Order bool

// The orders.
const (
	AnyOrder Order = false
	InOrder  Order = true
)

// Each calls do with the items, at most so many at a time, and again with those
// that failed for the moment. It returns an error an item.
func Each[T any](ctx context.Context, items []T, most int, o Order, do func(context.Context, []T) []error) []error {
	errs := make([]error, len(items))
	todo := make([]int, len(items))
	for i := range todo {
		todo[i] = i
	}
	for try := 1; len(todo) > 0; try++ {
		var failed []int
		final := false
		for part := range slices.Chunk(todo, max(most, 1)) {
			batch := make([]T, len(part))
			for i, at := range part {
				batch[i] = items[at]
			}
			got := do(ctx, batch)
			for i, at := range part {
				errs[at] = nil
				if got == nil || got[i] == nil {
					continue
				}
				errs[at] = got[i]
				if drivers.CodeOf(got[i]).Retryable() {
					failed = append(failed, at)
				} else {
					final = true
				}
			}
		}
		if len(failed) == 0 || final && o == InOrder || !again(ctx, try, errs[failed[0]]) {
			break
		}
		todo = failed
	}
	return errs
}
