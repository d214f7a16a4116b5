package provision

import "time"

// A Spec specifies a queue, in the same way for every provider. Zero fields
// leave an existing queue unchanged and select the provider's default for a new
// one.
type Spec struct {
	// Name is the queue's name in the configuration.
	Name string
	// VisibilityTimeout is the lease. SQS: visibility timeout, in whole seconds up
	// to 12 hours; Pub/Sub: ack deadline, 10 to 600 s.
	VisibilityTimeout time.Duration
	// Retention is how long messages are kept. SQS: 60 s to 14 days; Pub/Sub:
	// 10 minutes to 31 days.
	Retention time.Duration
	// FIFO keeps groups in order. SQS: a FIFO queue; Pub/Sub: message ordering.
	FIFO bool
	// ExactlyOnce is Pub/Sub's exactly-once delivery. Other drivers refuse it.
	ExactlyOnce bool
	// RetainAcked keeps acked messages for a replay. Only Pub/Sub can; other
	// drivers refuse it.
	RetainAcked bool
	// DeadLetter is the dead-letter queue; nil asks for none.
	DeadLetter *DeadLetter
	// Retry is the native retry policy. Pub/Sub: the subscription's; elsewhere
	// the backoff middleware reads it. Nil leaves it.
	Retry *Retry
	// KMSKey encrypts with a key of the user's. Empty is the provider's own
	// encryption. Embedded queues refuse it.
	KMSKey string
	// Tags are the resource's tags (SQS) or labels (Pub/Sub). Tags that exist
	// and are not named here are left alone. Embedded queues refuse them.
	Tags map[string]string
	// Alarms are wanted on the queue; nil asks for none. Embedded queues refuse
	// them.
	Alarms *Alarms
}

// A DeadLetter describes a wanted dead-letter queue.
type DeadLetter struct {
	// Name is the dead-letter queue, or topic. Empty means the queue's name
	// followed by "-dlq".
	Name string
	// MaxAttempts is the number of deliveries after which a message goes there.
	// Zero means 5. SQS: 1 to 1,000; Pub/Sub: 5 to 100.
	MaxAttempts int
	// Retention is how long letters are kept. Zero means as long as the provider
	// can. Embedded queues: twice the queue's own.
	Retention time.Duration
}

// Retry bounds the delay between deliveries.
type Retry struct{ Min, Max time.Duration }

// Alarms are thresholds. Zero leaves an alarm out.
type Alarms struct {
	// DeadLetters alarms at this many letters.
	DeadLetters int
	// OldestAge alarms when the oldest message is older.
	OldestAge time.Duration
	// Notify is the alarm's destination. SQS: SNS topic ARN; Pub/Sub: notification
	// channel.
	Notify string
}
