package handler

import "context"

// A Gate holds back receiving: a breaker, a rate limiter or an operator closes it.
// The runtime asks it before each receive and finishes the messages that it already
// holds. Its methods may be called concurrently.
type Gate interface {
	// Admit returns how many of want messages may be received now, from 0 to want.
	// It does not block and reserves nothing: the runtime asks again before the
	// next receive. With 0 it also returns a channel, which it closes when the
	// runtime should ask again.
	Admit(want int) (n int, reopened <-chan struct{})
}

// A GateReason is a [Gate] that explains itself. The runtime reports the reason in
// its health while the gate admits nothing.
type GateReason interface {
	Gate
	// Reason returns why the gate is closed, such as "idempotency store
	// redis://cache:6379 is down: connection refused". It returns "" while the
	// gate is open. It does not block.
	Reason() string
}

// GatesOf returns the gates of the given middleware, in the same order, for the
// runtime's configuration. Middleware has a gate if the handlers that it makes have
// a method Gate() Gate, which must return the same gate for all of them. The
// idempotency middleware has one, which is closed while its store is down.
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
