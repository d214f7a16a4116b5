// Package breaker is the middleware that stops receiving while a dependency is
// down, instead of failing one message after the other into the dead-letter
// queue.
//
//	b, err := breaker.New(&breaker.Config{Name: "gateway"})
//	h := handler.Chain(charge, b.Middleware, retries)
//	c, err := consumer.New(source, h, &consumer.Config{Gates: []handler.Gate{b}})
//
// One [Breaker] guards one dependency. It is two things: a middleware, which
// counts how handlers fare, and a handler.Gate, by which the runtime knows whether
// to receive. It needs both. Without the gate, messages are still received while
// the dependency is down, and released immediately. On SQS, and on Pub/Sub with a
// dead-letter policy, each of these deliveries counts as an attempt.
//
// # States
//
// Closed: messages pass. When, within a window, enough of them have failed, it
// opens.
//
// Open: no message is received. Messages that were already held are released
// before their handlers start. Messages that fail while it is open, or whose
// failure opened it, are retried when it closes, even after their last attempt by
// the backoff middleware: a message must not pay for an outage of the dependency.
// That has a bound: a message gets at most twice its attempts. Other rejections,
// and drops, stand.
//
// Half-open: after a pause a few messages are let through as probes, or a check
// of your own is run first. If they succeed it closes; if one fails it opens
// again, for twice as long up to a maximum. A probe that does not end in time
// counts as failed, so that a hung handler cannot keep the breaker half-open
// forever.
//
// # What counts
//
// See [IsFailure]: retries count as failures, and so do rejections whose only reason
// is that the attempts are used up. Other rejections, drops and permanent errors say
// nothing about the dependency and do not count. The same applies to postponed
// messages, duplicates that idempotency acks, panics, shutdowns and lost leases.
//
// An error that backoff.Classify calls transient (a network error, a timeout, 5xx,
// Unavailable, throttling) speaks against the dependency. Any other may be a mistake of
// the handler: thirty poison messages look like an outage. It takes Config.MinUnknown of
// those to open the breaker, and once open it is more patient with each round of probes.
// So poison messages slow the good ones by the logarithm of their number. If your
// dependency's errors are not among those that Classify knows, name them by Config.Failure.
//
// The provider's own limit of attempts (SQS: maxReceiveCount; Pub/Sub: max
// delivery attempts) does not know of any breaker. Set it a few attempts above
// the limit of the backoff middleware.
//
// # Position
//
// Outside ratelimit and idempotency, so that a refused message costs neither a
// token nor a claim, and outside backoff, because it must see, and may undo, the
// last rejection. Inside backoff, it would see bare errors only, and messages
// would be rejected for having met an outage too often. Inside otel and log,
// which record its decision.
package breaker
