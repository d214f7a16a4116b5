// Package queue is Sluice's own queue engine: visibility timeouts, delays,
// ordered groups, a deduplication window, dead-lettering after N receives, move
// tasks and retention. [Engine] is its contract and [NewMemory] the store in
// memory; package sqlitequeue has the store in a file that several processes
// share. The embedded queue (drivers/mem, drivers/sqlite) and the in-process SQS
// server (drivers/sqs/sqstest) are built on it.
package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The engine's errors.
var (
	ErrNotFound     = errors.New("no such queue")
	ErrExists       = errors.New("a queue of that name exists with another configuration")
	ErrReceipt      = errors.New("the receipt is no longer valid")
	ErrGone         = fmt.Errorf("%w: the message is gone", ErrReceipt)
	ErrClosed       = errors.New("the queue engine is closed")
	ErrConfig       = errors.New("the configuration is invalid")
	ErrForeign      = errors.New("the file is not a queue file of this version")
	ErrMoved        = errors.New("the file was deleted, moved, replaced or damaged while it was open")
	ErrNoDeadLetter = errors.New("the queue has no dead-letter queue")
	ErrTaskRunning  = errors.New("a move task is already running on this queue")
	ErrTaskNotFound = errors.New("no such move task, or it has ended")
)

// Clock is the engine's source of time, both its own and the wall clock's,
// which a test can replace. After is called when a receive waits or a task
// paces itself.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// Received is a delivery.
type Received struct {
	Message
	Receipt string
	// Deadline is when the lease ends.
	Deadline time.Time
}

// ReceiveRequest asks for messages.
type ReceiveRequest struct {
	Max  int
	Wait time.Duration
	// Visibility is the lease; negative means the queue's own. Zero makes the
	// messages visible again immediately.
	Visibility time.Duration
	// AttemptID is SQS's ReceiveRequestAttemptId: a repeated receive with the
	// same one within five minutes, while no lease has been changed, returns
	// the same messages with the same receipts. Empty means none.
	AttemptID string
	// Spread takes one message of each group of an ordered queue before a
	// second one of any, so that more groups are handled at the same time.
	// Without it, all the available messages of one group come first, as on
	// SQS.
	Spread bool
	// Into is memory that the answer may use. It may be nil.
	Into []Received
}

// Change sets a delivery's lease, counted from now. By zero makes it visible
// immediately.
type Change struct {
	Receipt string
	By      time.Duration
	// Release undoes the delivery: it does not count as one of the message's
	// receives, and its receipt becomes invalid. A lease that has ended stays
	// ended, and a negative By leaves the lease unchanged.
	Release bool
}

// Rejection moves a delivery to the dead-letter queue, atomically, with the
// given attributes instead of its own.
type Rejection struct {
	Receipt    string
	Attributes map[string]string
}

// Stats counts a queue's messages.
type Stats struct {
	Visible, InFlight, Delayed int64
	// Oldest is when the oldest message was enqueued; zero if there is none. By
	// the engine's time this was OldestAge ago, regardless of the wall clock.
	Oldest    time.Time
	OldestAge time.Duration
}

// TaskStatus is the state of a move task, in SQS's words.
type TaskStatus string

// The states.
const (
	TaskRunning   TaskStatus = "RUNNING"
	TaskCompleted TaskStatus = "COMPLETED"
	TaskCanceling TaskStatus = "CANCELLING"
	TaskCanceled  TaskStatus = "CANCELLED"
	TaskFailed    TaskStatus = "FAILED"
)

// Task is a move task.
type Task struct {
	Handle      string
	Source      string
	Destination string // empty: each message goes back to its Source
	Rate        int    // messages a second; zero is as fast as it goes
	Status      TaskStatus
	Moved       int64
	ToMove      int64
	Started     time.Time
	Failure     string
}

// Engine is a set of queues. All methods may be called concurrently, and those
// of a SQLite engine by several processes on one file. After Close they return
// ErrClosed, and receives that wait return it too. The engine does not keep its
// arguments, and results belong to the caller.
//
// Methods on several receipts return an error, or nil, for each item, and nil
// if all items succeed.
type Engine interface {
	// Create creates a queue. If it exists with the same Config Create does
	// nothing; with another, it returns ErrExists.
	Create(ctx context.Context, name string, c Config) error
	Config(ctx context.Context, name string) (Config, time.Time, error) // the time is that of its creation
	Configure(ctx context.Context, name string, c Config) error
	Remove(ctx context.Context, name string) error
	List(ctx context.Context) ([]string, error) // sorted

	// Send stores all messages or none, and returns each as stored. A duplicate is
	// returned as the first message was stored.
	Send(ctx context.Context, name string, ms []Message) ([]Message, error)

	// Receive waits up to r.Wait for messages. If none come it returns none and
	// no error. Messages that have been received MaxReceives times go to the
	// dead-letter queue here and not before, as on SQS.
	Receive(ctx context.Context, name string, r ReceiveRequest) ([]Received, error)

	// Delete removes deliveries. A receipt whose lease ended is still good as
	// long as the message was not received again (SQS's rule); otherwise it is
	// ErrReceipt, and the message stays.
	Delete(ctx context.Context, name string, receipts []string) []error
	// Change sets leases. One that has ended is ErrReceipt, except to a release,
	// which is possible until the message is received again, and except in a
	// queue that is lax. A message that was deleted, or has moved, is ErrGone,
	// which is an ErrReceipt.
	Change(ctx context.Context, name string, cs []Change) []error
	// Reject moves deliveries to the dead-letter queue.
	Reject(ctx context.Context, name string, rs []Rejection) []error

	// Peek returns up to max messages from the front, in any state, changing
	// nothing.
	Peek(ctx context.Context, name string, max int) ([]Message, error)
	Stats(ctx context.Context, name string) (Stats, error)
	Purge(ctx context.Context, name string) error

	// StartMove starts a task that moves the messages of source to destination,
	// in the order of their sequence, with their receive counts reset and a new
	// enqueue time. It moves those that are there when it starts and can be
	// received when it gets to them; the destination's dedupe window does not
	// stop them. If destination is empty, each returns to the queue it came
	// from; the task fails at a message that has no Source, as SQS's does. The
	// task runs until it is done, canceled, or the engine is closed.
	StartMove(ctx context.Context, source, destination string, rate int) (Task, error)
	CancelMove(ctx context.Context, handle string) (Task, error)
	Moves(ctx context.Context, source string) ([]Task, error) // newest first, at most ten

	Close() error
}
