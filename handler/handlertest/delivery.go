package handlertest

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// Outcome is what became of a message after a delivery.
type Outcome uint8

// The outcomes.
const (
	// Redelivered: the message is delivered again, after [Delivery.Delay].
	Redelivered Outcome = iota
	// Acked: the message was handled and is gone.
	Acked
	// DeadLettered: the message is among the dead letters, because it was
	// rejected or its attempts are used up.
	DeadLettered
	// Dropped: the message is gone, though it was not handled.
	Dropped
	// Lost: the lease was lost while the handler ran. The verdict was not
	// carried out, and the message is delivered again.
	Lost
	// Postponed: the verdict was a postponement ([handler.Postpone]). Nobody has
	// worked on the message; it is delivered again, after [Delivery.Delay], and
	// the attempt is the same then.
	Postponed
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	names := [...]string{"redelivered", "acked", "dead-lettered", "dropped", "lost", "postponed"}
	if int(o) < len(names) {
		return names[o]
	}
	return "unknown outcome"
}

// A Delivery is the record of one call of the handler.
type Delivery struct {
	// Message is a copy of the message as it was delivered. It has no lease.
	Message *handler.Message
	// Attempt counts the message's deliveries from 1, postponed ones left out,
	// even if the message itself hides it.
	Attempt int
	// At is when the handler was called, Duration how long it ran.
	At       time.Time
	Duration time.Duration
	// Verdict is what the handler decided. A panic is a retry.
	Verdict handler.Verdict
	// Panic is the value that the handler panicked with, or nil.
	Panic any
	// Extensions is how many times the lease was extended.
	Extensions int
	// Outcome is what became of the message, Delay how long it stays invisible
	// if it is redelivered or postponed.
	Outcome Outcome
	Delay   time.Duration
}

// A Pending is a message that waits for its next delivery.
type Pending struct {
	// Message is a copy of the message.
	Message *handler.Message
	// Attempt is the number of the coming delivery, from 1.
	Attempt int
	// Due is when the message becomes visible.
	Due time.Time
}

// A DeadLetter is a message in the dead-letter queue.
type DeadLetter struct {
	// Message is a copy of the message.
	Message *handler.Message
	// Attempt is the number of its last delivery.
	Attempt int
	// Err is the error of its last delivery: [handler.Exhausted] of it if the
	// attempts are used up.
	Err error
	// Rejected is true if the handler rejected the message, and false if the
	// queue gave up because the attempts are used up.
	Rejected bool
	// At is when it was dead-lettered.
	At time.Time
}
