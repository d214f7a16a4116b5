package drivers

import (
	"context"
	"math"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// A Source receives from one queue. All methods but Close may be called
// concurrently. After Close every method returns an error whose code is
// [Closed].
type Source interface {
	// Receive waits up to wait for messages and returns 1 to max of them, or none
	// and no error if none came. Zero wait asks once and returns. wait is at most
	// [MaxWait]. When ctx is done it returns ctx's error promptly. Messages that
	// the provider has already delivered are redelivered when their leases end. It
	// does not retry. max is at most Capabilities.MaxReceive. The caller owns the
	// slice and the messages.
	//
	// Messages and an error together mean that these messages are good and that
	// others in the same response were not, for example because of a wrong
	// checksum. The others stay with the provider and are redelivered when their
	// leases end. The caller handles the messages and reports the error.
	Receive(ctx context.Context, max int, wait time.Duration) ([]Delivery, error)

	// Settle carries out up to Capabilities.MaxSettle settlements, which may be of
	// different actions, and returns an error an item, at the item's index. A nil
	// slice means that all of them were carried out. It retains neither the slice
	// nor its elements. A caller may settle the same receipt twice: the second
	// settlement reports [LeaseLost] or nil, whichever the provider answers.
	Settle(ctx context.Context, ss []Settlement) []error

	// Extend sets the leases of up to Capabilities.MaxExtend receipts and
	// returns an error an item as Settle does; one whose lease is gone reports
	// [LeaseLost], as far as the provider reports it.
	Extend(ctx context.Context, es []Extension) []error

	// Capabilities returns the capabilities of the source's queue. It does no IO
	// and returns the same each time: see [Watcher] for what may change.
	Capabilities() Capabilities

	// Close frees the resources of the source. It does not settle anything. A
	// second call returns nil.
	Close() error
}

// MaxWait is the longest that [Source.Receive] waits: SQS's longest long poll.
const MaxWait = 20 * time.Second

// A Delivery is a received message and the means to settle it.
type Delivery struct {
	Message *handler.Message
	// Receipt identifies this delivery, never the message: the same message can
	// be in flight twice. SQS: receipt handle; Pub/Sub: ack ID.
	Receipt string
	// Deadline is when the lease ends, by this machine's clock, counted from
	// before the request was sent, so that it is never later than the
	// provider's. It is zero if there is no lease, or none that is known. It
	// has a monotonic part: the runtime compares it with time.Now only, and a
	// step of the wall clock must not move it.
	Deadline time.Time
	// Lease is the length of the lease that this receive gave. Zero means
	// Capabilities.Lease. It differs if the queue's own length was changed
	// after the source was opened.
	Lease time.Duration
}

// A Settlement carries out a verdict on a delivery.
type Settlement struct {
	Receipt string
	// Message is the delivered message. A driver that dead-letters by sending a
	// copy takes it from here.
	Message *handler.Message
	// Action is the verdict. The zero Action is a retry.
	Action handler.Action
	// Delay is how long a retried message stays invisible; zero gives it back
	// immediately. It counts only if Delayed is true, and is at most what
	// Capabilities allow. If Delayed is false, a retry is left to the queue's
	// own policy (SQS: the visibility timeout runs down; Pub/Sub: nack).
	Delay   time.Duration
	Delayed bool
	// Released marks a retry of a message that no handler has seen. A queue that
	// counts attempts itself does not count this delivery
	// (Capabilities.FreeRelease); SQS and Pub/Sub count it.
	Released bool
	// Failure says why a message is dead-lettered. Nil means that no reason is known.
	Failure *Failure
}

// A Failure is why a message is dead-lettered. It becomes the letter's failure
// attributes.
type Failure struct {
	// Reason is the error's text. Drivers cut it to 1 KiB.
	Reason string
	// First and Last are when the message failed first, as far as that is
	// known, and last.
	First, Last time.Time
	// Consumer names the process that rejected it.
	Consumer string
}

// An Extension sets a delivery's lease.
type Extension struct {
	Receipt string
	// By is the new length of the lease, counted from now. It is at most
	// Capabilities.MaxExtension.
	By time.Duration
}

// A Sink sends to one queue. Its methods but Close may be called concurrently.
// After Close every method returns an error whose code is [Closed].
type Sink interface {
	// Send sends up to Capabilities.MaxSend messages and returns an error a
	// message, at the message's index; a nil slice means that all of them were
	// taken. It sets the ID of each message that was taken. It keeps neither the
	// slice nor the messages.
	//
	// On an ordered queue a message that fails, or whose answer is lost, is not
	// overtaken by a later one of its group in the same call: the later ones are
	// not sent and fail as well. If the provider may take some messages of a
	// request and not others, the sink has at most one message of a group in a
	// request and waits for the answer before the next: it needs as many
	// requests as the largest group has messages. Nothing is sent after ctx has
	// ended.
	//
	// A message's DedupeID is its identity. It arrives with the message, in a
	// dead-letter queue and after a redrive too. A sink whose provider gives a
	// redriven message another ID makes an identity for a message that has none.
	// It makes a new one in each call. A caller that sends failed messages again
	// must set DedupeID before the first try.
	Send(ctx context.Context, ms []*handler.Message) []error

	// Capabilities returns the capabilities of the sink's queue.
	Capabilities() Capabilities

	// Close frees the resources of the sink. A second call returns nil.
	Close() error
}

// Unlimited is the value of a time in [Capabilities] that has no bound.
const Unlimited time.Duration = math.MaxInt64

// Capabilities describe a queue. The zero value of each field is the cautious
// one, so that a capability that a driver does not state costs speed or
// features, never messages.
type Capabilities struct {
	// Queue is the queue's name as an operator knows it.
	Queue string
	// System is OpenTelemetry's messaging.system.
	System string
	// Server is the host name of the provider's endpoint, empty if it has none.
	Server string

	// MaxReceive, MaxSettle, MaxExtend and MaxSend are the largest batches. Zero
	// means 1.
	MaxReceive, MaxSettle, MaxExtend, MaxSend int
	// MaxSendGroup is the number of messages of one group that fit in one request
	// of an ordered sink. Zero means 1, which is right if the provider may take
	// some messages of a request and not others.
	MaxSendGroup int
	// MaxMessageBytes bounds a message's body and attributes together;
	// MaxBatchBytes the messages of one Send together. Zero means that the driver
	// states no limit: the provider refuses messages that are too large.
	MaxMessageBytes, MaxBatchBytes int
	// MaxAttributes is the number of attributes that a message may have. Zero
	// means that the driver states no bound.
	MaxAttributes int

	// Lease is the length of the lease that a receive gives. Zero means that it
	// is not known (a sink).
	Lease time.Duration
	// MaxDelay bounds the delay of one retry's settlement; MaxSendDelay that of a
	// sent message. Zero means that there can be no delay: a retry's settlement
	// with one is then refused as [Unsupported]. [Unlimited] means no bound.
	MaxDelay, MaxSendDelay time.Duration
	// MaxExtension bounds one extension, counted from its moment. Zero means that
	// no lease can be extended. MaxLease bounds the whole lease, counted from the
	// receive. Zero means MaxExtension, or Lease if that is longer. [Unlimited]
	// means no bound.
	MaxExtension, MaxLease time.Duration

	// Ordered is true if messages of one group are delivered in order.
	Ordered bool
	// DeadLetter is true if the queue has a dead-letter queue, so that messages
	// can be rejected. DeadLetterQueue names it, and MaxAttempts is the native
	// number of deliveries after which a message goes there; zero means no limit.
	DeadLetter      bool
	DeadLetterQueue string
	MaxAttempts     int
	// AttemptKnown is true if deliveries carry their attempt number.
	AttemptKnown bool
	// FreeRelease is true if a delivery that is settled as Released does not count
	// as an attempt. The runtime holds what it can in either case and releases
	// little.
	FreeRelease bool
	// LocalClock is true if leases go by this machine's monotonic clock, as those
	// of an embedded queue do: they stand still while the machine is suspended. If
	// it is false, the runtime takes the time of a suspend off its leases.
	LocalClock bool
	// NativeRedrive is true if the provider itself moves letters back.
	NativeRedrive bool
	// ExactlyOnce reports whether a successful ack is final and a failed one
	// returns an error.
	ExactlyOnce bool
	// StaleReceiptFails is true if settling or extending an expired receipt is
	// reported as LeaseLost. A standard SQS queue accepts a delete by a stale
	// receipt silently.
	StaleReceiptFails bool
	// StaleReceiptHarmless is true if a retry or an extension by the receipt of an
	// earlier delivery leaves the lease of the message's present one alone. A
	// standard SQS queue changes that lease. If it is false, the runtime does not
	// repeat a retry whose answer was lost once its delay, counted from when it was
	// sent, is over: the message may be another worker's by then. If the retry was
	// not carried out, the message is delivered again when its lease ends.
	StaleReceiptHarmless bool
}
