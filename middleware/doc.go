// Package middleware combines the middleware of its subpackages into one stack, in the
// order in which they work together.
//
//	stack, err := middleware.Standard(&middleware.Config{
//		Logger:   logger,
//		Breakers: []*breaker.Breaker{gateway},
//		Backoff:  &backoff.Config{MaxAttempts: 8},
//		Timeout:  time.Minute,
//	})
//	c, err := consumer.New(source, stack.Handler(charge), &consumer.Config{Gates: stack.Gates()})
//
// Each package also works alone, with handler.Chain; none needs another.
//
// # The order
//
// From the outside in, without the parts that are not configured:
//
//	recoverer    keeps panics of the middleware inside from the runtime
//	otel         covers everything below with a span, whose context is in the logs
//	log          writes the verdict that is carried out
//	expiry       drops what its sender no longer wants handled
//	breaker      refuses before anything is spent; sees exhausted attempts
//	bulkhead     refuses before a token is taken
//	ratelimit    takes a token before anything is claimed
//	idempotency  acks what is done; claims what is not
//	backoff      turns the handler's error into a delay or a rejection
//	recoverer    turns the handler's panic into an error for all of the above
//	timeout      returns an error that backoff delays
//	heartbeat    keeps the lease while the handler runs
//	handler
//
// The recoverer is there twice: all middleware above must see a panic of the handler as a
// failure, and a panic of a middleware must not reach the runtime.
//
// Each package documents the effects of another position. The worst are:
//
//   - backoff outside idempotency rejects messages because the store of the
//     claims was down;
//   - idempotency outside breaker or ratelimit claims messages that are then given
//     back, and its store is asked for each of them;
//   - breaker inside backoff lets an outage use up attempts;
//   - timeout outside backoff has messages that timed out retried immediately;
//   - heartbeat outside idempotency or ratelimit spends extensions on messages
//     whose handler does not run.
package middleware
