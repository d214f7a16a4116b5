package drivertest

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/setting"
)

// A Harness describes a driver's queues to [Run].
type Harness struct {
	// Server names the driver and its server, such as "mem" or "sqs on
	// LocalStack". It is the column of the conformance table. Required.
	Server string

	// NewQueue creates an empty queue with the options o and a name that no
	// other queue has, and its dead-letter queue if o asks for one. If the
	// provider has no such queues (rather than the driver not supporting them
	// yet) it must return an error whose code is [drivers.Unsupported]; Run
	// then reports the rule as not applicable, with that error as the reason.
	// Run calls NewQueue concurrently and not on the test's goroutine, so it
	// must not call t.FailNow. Required.
	NewQueue func(ctx context.Context, o QueueOptions) (*Queue, error)

	// Missing returns a queue that does not exist, for the rules on errors. Its
	// functions may fail, or what they open at its first use. Nil means that
	// opening a queue creates it.
	Missing func(ctx context.Context) (*Queue, error)

	// Unmade returns an opener, which is a [provision.Planner] and may be a
	// [provision.Examiner], and the URL of a queue of its provider that does not
	// exist, for the rules on provisioning. Nil means that queues are not made by
	// applying plans. Run calls it concurrently.
	Unmade func(ctx context.Context) (drivers.Opener, *url.URL, error)

	// MinLease is the shortest lease that the server gives to a queue. Zero
	// means a second. Pub/Sub: 10 s.
	MinLease time.Duration

	// MinAttempts is the least number of deliveries after which the server
	// dead-letters. Zero means 1. Pub/Sub: 5.
	MinAttempts int

	// Exceptions are the rules, by ID, that this server does not keep.
	Exceptions map[string]Exception

	// Parallel is how many rules run at the same time. Zero means 16.
	Parallel int
}

// An Exception explains why a server does not keep a rule.
type Exception struct {
	// Reason is printed in the conformance table. Required.
	Reason string
	// Flaky is true if the rule sometimes passes. Otherwise a rule that passes
	// in spite of its exception fails the test.
	Flaky bool
}

// QueueOptions describe the queue that a rule needs.
type QueueOptions struct {
	// Lease is the length of the lease that a receive gives. It is never zero,
	// a whole number of seconds, and at least Harness.MinLease.
	Lease time.Duration
	// DeadLetter asks for a dead-letter queue.
	DeadLetter bool
	// MaxAttempts is the native number of deliveries after which a message is
	// dead-lettered. Zero with DeadLetter set means one so high that it does
	// not matter, at least 50. It is never set without DeadLetter.
	MaxAttempts int
	// Ordered asks for groups to be delivered in order.
	Ordered bool
	// Dedupe asks for the queue to drop a message whose dedupe ID it has seen.
	Dedupe bool
}

// A Queue is a queue that a harness has made. The functions may be called more
// than once; each call opens the queue again, as another process would.
type Queue struct {
	OpenSource func(ctx context.Context) (drivers.Source, error)
	OpenSink   func(ctx context.Context) (drivers.Sink, error)
	// OpenDeadLetters opens the dead-letter queue for receiving. Nil means that
	// the queue has none.
	OpenDeadLetters func(ctx context.Context) (drivers.Source, error)

	// Remove deletes the queue behind the driver's back. Nil means that it
	// cannot be deleted.
	Remove func(ctx context.Context) error
	// Close is called when the rule is done. Nil does nothing.
	Close func() error

	// Advance moves the clock by which this queue, and no other, counts leases
	// and delays; messages that have become due can be received when it
	// returns. Nil means that the queue's clock is the real one.
	Advance func(d time.Duration)
}

// ByURL returns a queue whose functions open URLs with mux. deadLetters may be
// empty.
func ByURL(mux *drivers.Mux, source, sink, deadLetters string) *Queue {
	open := func(u string) func(context.Context) (drivers.Source, error) {
		return func(ctx context.Context) (drivers.Source, error) { return mux.OpenSource(ctx, u, nil) }
	}
	q := &Queue{
		OpenSource: open(source),
		OpenSink:   func(ctx context.Context) (drivers.Sink, error) { return mux.OpenSink(ctx, sink, nil) },
	}
	if deadLetters != "" {
		q.OpenDeadLetters = open(deadLetters)
	}
	return q
}

// validate returns all faults of the harness.
func (h *Harness) validate(known map[string]bool) error {
	faults := []error{
		setting.Refuse(h.Server == "", "drivertest: Server is empty"),
		setting.Refuse(h.NewQueue == nil, "drivertest: NewQueue is nil"),
	}
	for id, e := range h.Exceptions {
		faults = append(faults,
			setting.Refuse(!known[id], "drivertest: the exception %q names no rule", id),
			setting.Refuse(e.Reason == "", "drivertest: the exception %q has no reason", id))
	}
	return errors.Join(faults...)
}

func (h *Harness) minLease() time.Duration { return max(h.MinLease, time.Second) }
func (h *Harness) minAttempts() int        { return max(h.MinAttempts, 1) }

func (h *Harness) parallel() int {
	if h.Parallel > 0 {
		return h.Parallel
	}
	return 16
}
