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

// An Ager is an [Inspector] that learns ages from another service than the one that has
// the queue: SQS's from CloudWatch. Its Depth leaves them unknown.
type Ager interface {
	Inspector
	// Ages fills in the ages of d, a Depth that was just read, as far as they can be
	// had. A failure leaves an age unknown.
	Ages(ctx context.Context, d *Depth)
}

// ReadDepth returns i's depth, with the ages of an [Ager]. Who needs counts alone calls
// Depth, which makes fewer requests.
func ReadDepth(ctx context.Context, i Inspector) (Depth, error) {
	d, err := i.Depth(ctx)
	if a, ok := i.(Ager); ok && err == nil {
		a.Ages(ctx, &d)
	}
	return d, err
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
	// LetterAge is the age of the oldest dead letter. Zero means that it is unknown, or
	// that there is no letter.
	LetterAge time.Duration
	// LetterRetention is how long the provider keeps dead letters. Zero means that it
	// is unknown, or that there is no dead-letter queue.
	LetterRetention time.Duration

	// Lag is how far the counts can be behind. Zero means that they are exact.
	Lag time.Duration
}

// A Purger removes all messages.
type Purger interface {
	// Purge removes every message of the queue, or of its dead-letter queue
	// where dead is true. The provider may take a minute (SQS).
	Purge(ctx context.Context, dead bool) error
}

// A Watcher is a [Source] that periodically rereads its queue's configuration,
// which may change under a running consumer. [Source.Capabilities] returns the
// capabilities at the time of opening; if Current differs, Current is right.
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
	// outage. Nil means no fault.
	Fault error
}

// A Locator is a [Source] that says whose queue it is on, so that an operator does not
// work on another queue of the same name.
type Locator interface {
	// Location returns the place of the queue. It does no IO.
	Location() Location
}

// Location is the place of a queue. Fields that a provider does not have are empty.
type Location struct {
	// Account is the account that the queue belongs to. SQS: the account ID; Pub/Sub:
	// the project.
	Account string
	// Region is the region of the queue. Pub/Sub has none.
	Region string
	// Endpoint is the address that requests go to.
	Endpoint string
}
