package drivers

import (
	"context"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// The optional interfaces of a Source are found once, by type assertion, where
// they are needed.

// An Inspector reports on a queue without receiving from it.
type Inspector interface {
	// Depth counts the queue's messages, as exactly as the provider can.
	Depth(ctx context.Context) (Depth, error)
	// Peek returns up to max messages of the queue, or of its dead-letter
	// queue if dead is true, and gives them back immediately. On a provider
	// with no read-only access it counts as a delivery attempt.
	Peek(ctx context.Context, max int, dead bool) ([]*handler.Message, error)
}

// Unknown is the value of a [Depth] count that the provider does not report.
const Unknown = -1

// Depth is how many messages a queue has. A count that the provider does not
// report is [Unknown].
type Depth struct {
	// Visible messages can be received now; InFlight ones are leased; Delayed
	// ones were sent with a delay that has not ended.
	Visible, InFlight, Delayed int64
	// DeadLetters are the messages in the dead-letter queue, or Unknown if
	// there is no such queue.
	DeadLetters int64
	// OldestAge is the age of the oldest message, negative where unknown.
	OldestAge time.Duration
}

// A Purger removes all messages.
type Purger interface {
	// Purge removes every message of the queue, or of its dead-letter queue
	// where dead is true. The provider may take a minute (SQS).
	Purge(ctx context.Context, dead bool) error
}

// A Watcher is a [Source] that reads its queue's configuration again now and then,
// since that may be changed under a running consumer. [Source.Capabilities] stay
// those of when it was opened; if the two differ, Current counts.
type Watcher interface {
	// Current returns the configuration as it was read last. It does no IO and may
	// be called concurrently with everything else.
	Current() Current
}

// Current is the part of a queue's configuration that a source follows.
type Current struct {
	// DeadLetterQueue is Capabilities.DeadLetterQueue, empty if there is none now.
	DeadLetterQueue string
	// MaxAttempts is Capabilities.MaxAttempts.
	MaxAttempts int
	// Fault is why the consumer can't do its work though receives succeed, such as
	// that the topic of a subscription was deleted. It makes the consumer report an
	// outage. Nil means that nothing is wrong.
	Fault error
}
