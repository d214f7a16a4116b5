package handler

import (
	"fmt"
	"time"
)

// EventKind is the kind of an [Event]. The zero EventKind is not a kind.
type EventKind uint8

// The kinds of events.
const (
	// EventReceived: N messages were received, in a request that took Duration.
	EventReceived EventKind = iota + 1
	// EventReceiveFailed: a receive failed with Err after Duration.
	EventReceiveFailed
	// EventStarted: a handler was started on Message.
	EventStarted
	// EventHandled: a handler returned Err after Duration; Action is its verdict.
	EventHandled
	// EventSettled: the verdict Action on Message was carried out, a retry with
	// Delay, or failed for good with Err.
	EventSettled
	// EventExtended: the lease on Message was extended by Extension from now, or
	// could not be, because of Err.
	EventExtended
	// EventLeaseLost: the lease on Message was lost before its handler returned.
	EventLeaseLost
	// EventLateVerdict: a handler returned the verdict Action after its lease was
	// lost, or the provider had not accepted it when the lease ended. As far as is
	// known, the verdict was not carried out.
	EventLateVerdict
	// EventReleased: Message was returned to the queue unhandled, and is
	// redelivered after Delay.
	EventReleased
	// EventNoDeadLetter: Message was rejected because of Err, but the queue has no
	// dead-letter queue; it is retried.
	EventNoDeadLetter
	// EventDuplicate: a middleware found that Message is a duplicate of one that
	// was already handled.
	EventDuplicate
	// EventStoreDown: Store, the store of a middleware, does not answer, because
	// of Err; messages wait for it.
	EventStoreDown
	// EventStoreUp: Store answers again, after Duration.
	EventStoreUp
	// EventPostponed: a handler postponed Message by Delay because of Err. It is
	// kept in hand and handled again here, or returned to the queue (EventReleased).
	EventPostponed
	// EventExpired: a middleware found that Message has expired ([Message.Expires]); Err
	// says by how much. It is dropped or rejected unhandled.
	EventExpired
)

var eventNames = [...]string{
	EventReceived: "received", EventReceiveFailed: "receive_failed", EventStarted: "started", EventHandled: "handled",
	EventSettled: "settled", EventExtended: "extended", EventLeaseLost: "lease_lost", EventLateVerdict: "late_verdict",
	EventReleased: "released", EventNoDeadLetter: "no_dead_letter", EventDuplicate: "duplicate",
	EventStoreDown: "store_down", EventStoreUp: "store_up", EventPostponed: "postponed",
	EventExpired: "expired",
}

// String returns the name of the kind in lower case, such as "received" or
// "lease_lost".
func (k EventKind) String() string {
	if k > 0 && int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("event(%d)", uint8(k))
}

// An Event is something that happened to a message or a queue, for metrics. It is
// passed by value. A field that its kind does not mention is zero.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// Origin is the queue; nil for the events of a store.
	Origin *Origin
	// Message is the message that the event is about, nil if it is about none. The
	// observer must not change or keep it.
	Message *Message
	// Action is the verdict that was returned or carried out.
	Action Action
	// Answered is true for an EventSettled whose verdict was the answer to the
	// caller that delivered the message (AWS Lambda, an HTTP push), so that no
	// request was made for it.
	Answered bool
	// N is the number of messages of an EventReceived.
	N int
	// Duration is how long the receive, the handler or the store's outage took.
	Duration time.Duration
	// Waited is how long the message of an EventStarted waited for its handler to
	// start, after its turn had come. It is zero if the message was delivered to a
	// waiting handler, as AWS Lambda and HTTP pushes deliver it.
	Waited time.Duration
	// Delay is how long the message stays invisible, or postponed, from now.
	Delay time.Duration
	// Extension is the new length of the lease, counted from now.
	Extension time.Duration
	// Store is the name of a middleware's store.
	Store string
	// Err is the error that was returned, or the reason for what happened.
	Err error
}

// An Observer receives events. Observe is called concurrently, on the path of every
// message: it must be quick and must not block.
type Observer interface {
	Observe(e Event)
}
