package drivers

import (
	"context"
	"net/url"
	"time"
)

// QueueSpec is what a queue is wanted to be, the same for every provider. Zero
// fields are left as they are, or to the provider's default.
type QueueSpec struct {
	// Name is the queue's name in the configuration.
	Name string
	// VisibilityTimeout is the lease. SQS: visibility timeout; Pub/Sub: ack
	// deadline (10 to 600 s).
	VisibilityTimeout time.Duration
	// Retention is how long messages are kept. SQS: 60 s to 14 days; Pub/Sub:
	// 10 minutes to 31 days.
	Retention time.Duration
	// FIFO keeps groups in order. SQS: a FIFO queue; Pub/Sub: message ordering.
	FIFO bool
	// ExactlyOnce is Pub/Sub's exactly-once delivery. On SQS it is an error.
	ExactlyOnce bool
	// RetainAcked keeps acked messages for a replay. On SQS it is an error.
	RetainAcked bool
	// DeadLetter is the dead-letter queue; nil is none wanted.
	DeadLetter *DeadLetterSpec
	// Retry is the native retry policy. Pub/Sub: the subscription's; elsewhere
	// the backoff middleware reads it. Nil leaves it.
	Retry *RetrySpec
	// KMSKey encrypts with a key of the user's. Empty is the provider's own
	// encryption.
	KMSKey string
	// Tags are the resource's tags (SQS) or labels (Pub/Sub). Tags that exist
	// and are not named here are left alone.
	Tags map[string]string
	// Alarms are wanted on the queue; nil is none.
	Alarms *AlarmSpec

	// HandlerP99 is how long the slowest hundredth of the handlers take, as far
	// as that is known, and Heartbeat whether they have the heartbeat
	// middleware. HandlerAttempts is after how many attempts the handlers' own
	// stack rejects (backoff.Config.MaxAttempts, sluice run --max-attempts); zero
	// is not known, or no limit of its own. They are for a [Diagnoser] and nothing
	// is made of them.
	HandlerP99      time.Duration
	Heartbeat       bool
	HandlerAttempts int
}

// DeadLetterSpec is a wanted dead-letter queue.
type DeadLetterSpec struct {
	// Name is the dead-letter queue, or topic. Empty is the queue's name with
	// "-dlq" behind it.
	Name string
	// MaxAttempts is the number of deliveries after which a message goes there.
	// Zero means 5. Pub/Sub: 5 to 100.
	MaxAttempts int
	// Retention is how long letters are kept. Zero is the provider's longest.
	Retention time.Duration
}

// RetrySpec bounds the delay between deliveries.
type RetrySpec struct{ Min, Max time.Duration }

// AlarmSpec are thresholds for alarms. Zero leaves that alarm out.
type AlarmSpec struct {
	// DeadLetters alarms at this many letters.
	DeadLetters int
	// OldestAge alarms when the oldest message is older.
	OldestAge time.Duration
	// Notify is where the alarm goes. SQS: SNS topic ARN; Pub/Sub: notification
	// channel.
	Notify string
}

// ChangeKind says what a [Change] does.
type ChangeKind string

// The kinds of changes.
const (
	ChangeCreate ChangeKind = "create"
	ChangeUpdate ChangeKind = "update"
	// ChangeReplace is one that the provider cannot make in place: Remedy says
	// the way out. It is never applied.
	ChangeReplace ChangeKind = "replace"
	// ChangeGrant gives a permission.
	ChangeGrant ChangeKind = "grant"
	// ChangeNote is not applied by Sluice: Remedy says what to do by hand.
	ChangeNote ChangeKind = "note"
)

// A Change is one difference between a queue as it is and as it is wanted.
type Change struct {
	// Queue is the queue's name in the configuration.
	Queue string `json:"queue"`
	// Resource is what changes, such as "sqs queue orders-dlq".
	Resource string     `json:"resource"`
	Kind     ChangeKind `json:"kind"`
	// Field is the property; empty for a whole resource.
	Field string `json:"field,omitempty"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	// Destructive is true where the change can lose messages or guarantees. It
	// is applied only where that is allowed.
	Destructive bool   `json:"destructive,omitempty"`
	Remedy      string `json:"remedy,omitempty"`
	// Applied is true where Apply has made it.
	Applied bool `json:"applied,omitempty"`
	// LeftOut says which part of the change the server does not know, and what it
	// answered. Apply has left that part out and gone on; Applied is true if the
	// rest was made. Servers that stand in for a provider lack this and that.
	LeftOut string `json:"left_out,omitempty"`
}

// A Provisioner makes queues. It is an optional interface of an [Opener],
// since the queue may not exist yet.
type Provisioner interface {
	// Plan tells the changes that would make the queue that u names what spec
	// says. It changes nothing. None means that there is nothing to do.
	Plan(ctx context.Context, u *url.URL, spec QueueSpec) ([]Change, error)
	// Apply makes them, and returns all changes with those marked that were
	// made. Destructive ones are made only with allowDestructive. A property that
	// the server does not know does not keep the others from being set: it is in
	// LeftOut.
	Apply(ctx context.Context, u *url.URL, spec QueueSpec, allowDestructive bool) ([]Change, error)
}
