package handler

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrLeaseLost is the cause with which a handler's context is canceled
	// when its lease was lost: an extension was refused, or the deadline passed.
	// Another worker may already have the message, so the handler must stop. A
	// verdict returned after it is not carried out.
	ErrLeaseLost = errors.New("lease lost: the message may be handled elsewhere by now")

	// ErrNoLease is returned by the lease of a delivery that has none, such as
	// an AWS Lambda invocation or an HTTP push: its deadline is the caller's.
	ErrNoLease = errors.New("this delivery has no lease to extend")

	// ErrStopped is the cause with which a handler's context is canceled when
	// the grace period of a shutdown has ended.
	ErrStopped = errors.New("the consumer was stopped and its grace period is over")
)

// A Lease is the right to work on a delivered message until a deadline. SQS:
// the visibility timeout; Pub/Sub: the ack deadline. Its methods may be called
// concurrently, and only until the handler returns.
type Lease interface {
	// Deadline returns when the lease ends if it is not extended. It is zero
	// if there is no lease.
	Deadline() time.Time

	// Extend sets the deadline to d from now. It blocks until the provider has
	// answered or ctx is done. It returns [ErrLeaseLost] if the lease is
	// already lost, [ErrNoLease] if there is none, and the provider's error
	// otherwise. A d beyond the provider's limit is cut to it.
	Extend(ctx context.Context, d time.Duration) error

	// Keep asks the runtime to extend the lease, until stop is called. It does not
	// block. The function that it returns waits for an extension that is on its
	// way; calling it twice is harmless, and it is called for a handler that
	// forgets. Keep returns [ErrNoLease] if there is no lease; the stop function
	// is never nil. Asked twice, the latest call's options hold.
	Keep(o KeepOptions) (stop func(), err error)

	// OnExtend has f called after each extension that succeeded, with the new
	// deadline, on a goroutine that f may block. It serves what must be renewed
	// along with the lease. f is not called again once the handler has
	// returned, and at most one call of it runs at a time. Without a lease it
	// does nothing.
	OnExtend(f func(deadline time.Time))
}

// KeepOptions say how a lease is kept. The zero value keeps it at the length it
// was received with, extends it when half of that is left, without end.
type KeepOptions struct {
	// Extension is the length that each extension gives the lease, counted from
	// the moment of the extension. Zero means the length that it was received
	// with.
	Extension time.Duration

	// Fraction is the part of Extension that is left when the lease is
	// extended, between 0 and 1. Zero means one half. A larger fraction costs
	// more requests and survives a longer outage of the provider.
	Fraction float64

	// Max is how long after the call of Keep extensions end. The lease then
	// runs down and is lost. Zero means no end but the provider's (SQS: 12
	// hours from the receive).
	Max time.Duration
}

type noLease struct{}

func (noLease) Deadline() time.Time                         { return time.Time{} }
func (noLease) Extend(context.Context, time.Duration) error { return ErrNoLease }
func (noLease) Keep(KeepOptions) (func(), error)            { return func() {}, ErrNoLease }
func (noLease) OnExtend(func(time.Time))                    {}
