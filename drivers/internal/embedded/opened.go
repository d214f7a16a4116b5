package embedded

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/queue"
)

// batch is the most messages of an operation: enough to make it cheap, and few
// enough that others do not wait long.
const batch = 256

// opened is the common part of a source and a sink.
type opened struct {
	Target
	config queue.Config
	closed atomic.Bool
}

// fail wraps an error of the engine's.
func (o *opened) fail(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if o.closed.Load() {
		return o.isClosed(op)
	}
	code, remedy := drivers.Transient, ""
	switch {
	case errors.Is(err, queue.ErrNotFound):
		code, remedy = drivers.NotFound, "it was removed; open it again to create it"
	case errors.Is(err, queue.ErrReceipt):
		code = drivers.LeaseLost
	case errors.Is(err, queue.ErrClosed):
		code = drivers.Closed
	case errors.Is(err, queue.ErrNoDeadLetter):
		code, remedy = drivers.Unsupported, "name one with dead_letter=… in the queue's URL"
	case errors.Is(err, queue.ErrConfig), errors.Is(err, queue.ErrTaskRunning):
		code = drivers.Invalid
	case errors.Is(err, queue.ErrTaskNotFound):
		code = drivers.NotFound
	case o.Classify != nil:
		code, remedy = o.Classify(err)
	}
	return drivers.Wrap(ctx, code, o.Queue, op, err, remedy)
}

var errClosed = errors.New("this program closed it")

func (o *opened) isClosed(op string) error {
	return &drivers.Error{Code: drivers.Closed, Queue: o.Queue, Op: op, Err: errClosed}
}

// usable returns why an operation cannot begin.
func (o *opened) usable(ctx context.Context, op string) error {
	if o.closed.Load() {
		return o.isClosed(op)
	}
	return ctx.Err()
}

// close is called once.
func (o *opened) close() error {
	if o.closed.Swap(true) || o.Release == nil {
		return nil
	}
	return o.Release()
}

func (o *opened) capabilities() drivers.Capabilities {
	return drivers.Capabilities{
		Queue: o.Queue, System: o.System,
		MaxReceive: batch, MaxSettle: batch, MaxExtend: batch, MaxSend: batch, MaxSendGroup: batch,
		MaxDelay: drivers.Unlimited, MaxSendDelay: drivers.Unlimited, MaxExtension: drivers.Unlimited, MaxLease: drivers.Unlimited,
		Ordered:    o.config.Ordered,
		DeadLetter: o.config.DeadLetter != "", DeadLetterQueue: o.config.DeadLetter, MaxAttempts: o.config.MaxReceives,
		AttemptKnown: true, NativeRedrive: o.config.DeadLetter != "", StaleReceiptFails: true, StaleReceiptHarmless: true,
	}
}
