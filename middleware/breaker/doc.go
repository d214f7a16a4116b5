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
// the dependency is down and given back immediately; on SQS, and on Pub/Sub with a
// dead-letter policy, each of those deliveries counts as an attempt.
//
// # States
//
// Closed: messages come and go. When, within a window, enough of them have
// failed, it opens.
//
// Open: nothing is received. Messages that were already held are given back
// before their handlers start. Those that fail while it is open, or by failing
// have opened it, are retried when it ends, even if that was their last attempt
// by the backoff middleware: the dependency's outage is not theirs to pay for. That
// has a bound: a message gets at most twice its attempts. Other rejections, and
// drops, stand.
//
// Half-open: after a pause a few messages are let through as probes, or a check
// of your own is run first. If they succeed it closes; if one fails it opens
// again, for twice as long up to a maximum. A probe that does not end in time
// counts as failed, so that a hung handler cannot keep it half-open for ever.
//
// # What counts
//
// See [IsFailure]: retries count as failures, and rejections whose only ground
// is that the attempts are used up. Other rejections, drops and errors that are
// permanent say nothing about the dependency and do not count at all, nor do messages
// that were put off, duplicates that idempotency acks, panics, shutdowns and lost
// leases.
//
// An error that backoff.Classify calls transient (a network error, a timeout, 5xx,
// Unavailable, throttling) speaks against the dependency. Any other may be a mistake of
// the handler: thirty poison messages look like an outage. It takes Config.MinUnknown of
// those to open the breaker, and once open it is more patient with each round of probes.
// So poison messages slow the good ones by the logarithm of their number. If your
// dependency's errors are not among those that Classify knows, name them by Config.Failure.
//
// The provider's own limit of attempts (SQS: maxReceiveCount; Pub/Sub: max
// delivery attempts) does not know of any breaker. Leave it a few attempts of
// room above that of the backoff middleware.
//
// # Position
//
// Outside ratelimit and idempotency, so that a message it refuses costs neither
// a token nor a claim, and outside backoff, whose last rejection it must see and
// can undo. Inside backoff, it would see bare errors only, and messages
// would be rejected for having met an outage too often. Inside otel and log,
// which show what it decides.
package breaker
