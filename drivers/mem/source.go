package mem

import (
	"context"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/internal/embedded"
	"github.com/sluice-go/sluice/handler"
)

// A Source receives from a queue. Its methods may be called concurrently. After
// Close they return errors whose code is drivers.Closed.
type Source struct{ s *embedded.Source }

var (
	_ drivers.Source      = (*Source)(nil)
	_ drivers.Inspector   = (*Source)(nil)
	_ drivers.Purger      = (*Source)(nil)
	_ deadletter.Redriver = (*Source)(nil)
	_ deadletter.Opener   = (*Source)(nil)
	_ deadletter.Writer   = (*Source)(nil)
)

// Receive waits up to wait for messages and returns at most n, as
// [drivers.Source] requires. From an ordered queue it takes one message of each
// group before a second one of any.
func (s *Source) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	return s.s.Receive(ctx, n, wait)
}

// Settle carries out settlements and returns an error for each, or nil if all are
// carried out. Acks and drops delete, a retry with a delay hides the message until
// then, a rejection moves it to the dead-letter queue in one step. A retry without
// a delay waits for the end of the lease. A released one counts no attempt.
func (s *Source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	return s.s.Settle(ctx, ss)
}

// Extend sets leases, counted from now, and returns an error for each, or nil if
// all are set.
func (s *Source) Extend(ctx context.Context, es []drivers.Extension) []error {
	return s.s.Extend(ctx, es)
}

// Capabilities returns what the queue supported when it was opened.
func (s *Source) Capabilities() drivers.Capabilities { return s.s.Capabilities() }

// Close closes the source. Receives that wait return. A second call returns nil.
func (s *Source) Close() error { return s.s.Close() }

// Depth counts the queue's messages, exactly.
func (s *Source) Depth(ctx context.Context) (drivers.Depth, error) { return s.s.Depth(ctx) }

// Peek returns up to n messages from the front of the queue, or of its dead-letter
// queue, in any state and without a lease.
func (s *Source) Peek(ctx context.Context, n int, dead bool) ([]*handler.Message, error) {
	return s.s.Peek(ctx, n, dead)
}

// Purge removes all messages of the queue, or of its dead-letter queue.
func (s *Source) Purge(ctx context.Context, dead bool) error { return s.s.Purge(ctx, dead) }

// StartRedrive starts a task that moves every letter back to this queue, at most
// rate a second; zero means no limit. It fails if other queues share the
// dead-letter queue, because it would move their letters too.
func (s *Source) StartRedrive(ctx context.Context, rate int) (deadletter.Task, error) {
	return s.s.StartRedrive(ctx, rate)
}

// Redrives returns the latest tasks on the dead-letter queue, newest first.
func (s *Source) Redrives(ctx context.Context) ([]deadletter.Task, error) {
	return s.s.Redrives(ctx)
}

// CancelRedrive stops a running task.
func (s *Source) CancelRedrive(ctx context.Context, id string) error {
	return s.s.CancelRedrive(ctx, id)
}

// OpenDeadLetters opens the dead-letter queue for receiving.
func (s *Source) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	return s.s.OpenDeadLetters(ctx)
}

// OpenRedrive opens the queue for sending letters back to it. A letter is not a
// duplicate of the message that it was.
func (s *Source) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	return s.s.OpenRedrive(ctx)
}

// OpenDeadLetterSink opens the dead-letter queue for sending letters to it.
func (s *Source) OpenDeadLetterSink(ctx context.Context) (drivers.Sink, error) {
	return s.s.OpenDeadLetterSink(ctx)
}
