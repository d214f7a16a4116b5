package mem

import (
	"time"

	"github.com/sluice-go/sluice/drivers/internal/embedded"
)

// NoDeadLetter as [Config.DeadLetter] means that the queue has no dead-letter
// queue.
const NoDeadLetter = embedded.NoDeadLetter

// Config configures a queue. A zero field leaves an existing queue unchanged and
// selects the default for a new one. A nil Config is the zero Config.
type Config struct {
	// VisibilityTimeout is the lease that a receive gives. The default is 30
	// seconds.
	VisibilityTimeout time.Duration

	// Retention is how long a message is kept, settled or not. The default is 14
	// days. A dead-letter queue that is created for the queue keeps its letters
	// twice as long.
	Retention time.Duration

	// MaxAttempts is how often a message is delivered before it is
	// dead-lettered. The default is 5. If it is negative, only rejected messages
	// are dead-lettered.
	MaxAttempts int

	// DeadLetter names the dead-letter queue, which is created if it does not
	// exist. The default is the queue's name followed by "-dlq", and none for a
	// queue whose name ends in "-dlq". [NoDeadLetter] means none.
	DeadLetter string

	// DeadLetterRetention is how long letters are kept. The default is twice the
	// queue's own retention.
	DeadLetterRetention time.Duration

	// Ordered reports whether the messages of a group are delivered in the order
	// in which they were sent, one at a time: while one is in flight or waits for
	// its retry, the later ones of its group wait too. The default is true.
	Ordered *bool

	// DedupeWindow is how long a message with a dedupe ID that was seen before is
	// dropped as a duplicate of the first. The default, and any negative value,
	// is not to drop duplicates.
	DedupeWindow time.Duration

	// Delay is the delay of messages that are sent without one. The default, and
	// any negative value, means no delay.
	Delay time.Duration
}
