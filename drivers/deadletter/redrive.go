// Package deadletter is the part of the port that redrives need: the optional
// interfaces of a source by which dead letters return to their queue.
package deadletter

import (
	"context"
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// AttributeRedriveCount and AttributeRedriveHistory are set on a message that a
// selective redrive brought back: how often that was done, and the failure
// attributes that it had as a dead letter, as a JSON array with the newest last.
const (
	AttributeRedriveCount   = "sluice-redrive-count"
	AttributeRedriveHistory = "sluice-redrive-history"
)

// A Redriver moves dead letters back by the provider's own means, which take
// all of them. It is an optional interface of a [drivers.Source].
type Redriver interface {
	// StartRedrive starts moving every letter of this queue's dead-letter queue
	// back to this queue. rate is messages a second; zero leaves it to the
	// provider. If a task is already running for it, the error's code is
	// Invalid and Redrives lists the task.
	StartRedrive(ctx context.Context, rate int) (Task, error)
	// Redrives lists the latest tasks on this queue's dead-letter queue, newest
	// first.
	Redrives(ctx context.Context) ([]Task, error)
	// CancelRedrive stops a running task. Messages that it has moved stay moved.
	CancelRedrive(ctx context.Context, id string) error
}

// Status is the state of a [Task].
type Status string

// The states of a task.
const (
	Running   Status = "running"
	Completed Status = "completed"
	Canceled  Status = "canceled"
	Failed    Status = "failed"
)

// A Task is a provider's own task that moves letters.
type Task struct {
	// ID identifies a running task. SQS gives an ended task none.
	ID     string
	Status Status
	// Moved and Total count messages; Total is drivers.Unknown if the provider does
	// not report it.
	Moved, Total int64
	Started      time.Time
	// Failure is why a failed task failed.
	Failure string
}

// An Opener opens a queue's dead-letter queue, for redriving letters one by
// one. It is an optional interface of a [drivers.Source]. The letters' messages are as
// they were sent, failure attributes included.
type Opener interface {
	// OpenDeadLetters opens the dead-letter queue for receiving. If there is
	// none, or none that can be read, the error says how to get one.
	OpenDeadLetters(ctx context.Context) (drivers.Source, error)
	// OpenRedrive opens the queue itself for sending letters back to it, and to
	// it alone: on Pub/Sub each message is aimed at this source's subscription.
	OpenRedrive(ctx context.Context) (drivers.Sink, error)
}

// A Replayer goes back to messages that were acked already. It is an optional
// interface of a [drivers.Source] (Pub/Sub: Seek, if the subscription retains acked
// messages).
type Replayer interface {
	// Replay has every retained message that was published since t delivered
	// again, whether it was acked or not.
	Replay(ctx context.Context, t time.Time) error
}

// A Writer sends letters to a queue's dead-letter queue, for those that were exported. It
// is an optional interface of a [drivers.Source].
type Writer interface {
	// OpenDeadLetterSink opens the dead-letter queue for sending. Messages that are sent
	// to it are letters as they are: their failure attributes are kept.
	OpenDeadLetterSink(ctx context.Context) (drivers.Sink, error)
}
