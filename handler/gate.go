package handler

import (
	"context"
	"time"
)

// A Gate lets whoever knows better (a breaker, a rate limiter, an operator)
// hold back receiving. The runtime asks it before each receive; messages that
// it already holds are finished. A Gate is called concurrently.
type Gate interface {
	// Admit says how many of want messages may be received now, from 0 to want.
	// It does not block and reserves nothing: the runtime asks again before the
	// next receive. With 0 it also returns a channel that is closed when it is
	// worth asking again; the runtime waits for it.
	Admit(want int) (n int, reopened <-chan struct{})
}

// A GateReason is a [Gate] that explains itself. The runtime shows the reason in
// its health while the gate admits nothing.
type GateReason interface {
	Gate
	// Reason returns why the gate is closed, such as "idempotency store
	// redis://cache:6379 is down: connection refused". It returns "" while the
	// gate is open. It does not block.
	Reason() string
}

// GatesOf returns the gates that middleware offers, in the order of the
// middleware: give them to the runtime. Middleware offers a gate if the handlers
// that it makes have a method Gate() Gate, and all of them the same gate; the
// idempotency middleware does, whose gate is closed while its store is down.
func GatesOf(ms ...Middleware) []Gate {
	var gates []Gate
	for _, m := range ms {
		if m == nil {
			continue
		}
		h := m(HandlerFunc(func(context.Context, *Message) error { return nil }))
		if g, ok := h.(interface{ Gate() Gate }); ok {
			gates = append(gates, g.Gate())
		}
	}
	return gates
}

// EventKind says what an [Event] reports.
type EventKind uint8

// The kinds of events.
const (
	// EventReceived: N messages were received.
	EventReceived EventKind = iota + 1
	// EventReceiveFailed: a receive failed with Err after Duration.
	EventReceiveFailed
	// EventStarted: a handler was started on Message.
	EventStarted
	// EventHandled: a handler has returned; Action is its verdict, Duration how
	// long it ran, Err its error.
	EventHandled
	// EventSettled: the verdict Action on Message was carried out, or failed for
	// good with Err.
	EventSettled
	// EventExtended: the lease on Message was extended, or could not be, with Err.
	EventExtended
	// EventLeaseLost: the lease on Message was lost while its handler ran.
	EventLeaseLost
	// EventLateVerdict: a handler returned a verdict after its lease was lost, or
	// the provider had not taken it when the lease ended. It was not carried out,
	// as far as is known.
	EventLateVerdict
	// EventReleased: Message was given back unhandled.
	EventReleased
	// EventNoDeadLetter: Message was rejected, but the queue has no dead-letter
	// queue; it is retried.
	EventNoDeadLetter
	// EventDuplicate: a middleware found Message to be a duplicate of one that
	// was already handled.
	EventDuplicate
	// EventStoreDown: the store Name of a middleware does not answer, with Err;
	// messages wait for it.
	EventStoreDown
	// EventStoreUp: the store Name answers again, after Duration.
	EventStoreUp
	// EventPostponed: a handler postponed Message for Duration because of Err. It
	// is kept in hand and handled again here, or given back (EventReleased).
	EventPostponed
)

// An Event is one thing that happened to a message or a queue, for metrics. It
// is passed by value; Message is nil where the event is not about one, and must
// not be kept.
// Duration is how long it took: the receive, the handler. Of an EventSettled it is
// the delay of a retry, of an EventExtended the new length of the lease. Answered is
// true for an EventSettled whose verdict is the answer to whoever delivered the
// message (AWS Lambda, an HTTP push), so that no request was made for it.
type Event struct {
	Kind     EventKind
	Name     string
	Origin   *Origin
	Message  *Message
	Action   Action
	N        int
	Duration time.Duration
	Err      error
	Answered bool
}

// An Observer is told of events. Observe is called concurrently, on the path of
// every message: it must be quick and must not block.
type Observer interface {
	Observe(e Event)
}
