// Package middleware puts the middleware of its subfolders together, in the order
// in which they work.
//
//	stack, err := middleware.Standard(&middleware.Config{
//		Logger:   logger,
//		Breakers: []*breaker.Breaker{gateway},
//		Backoff:  &backoff.Config{MaxAttempts: 8},
//		Timeout:  time.Minute,
//	})
//	c, err := consumer.New(source, stack.Handler(charge), &consumer.Config{Gates: stack.Gates()})
//
// Each is also of use alone, with handler.Chain; none needs another.
//
// # The order
//
// From the outside in; parts that are not configured are left out.
//
//	recoverer    no panic of what is inside gets to the runtime
//	otel         the span holds everything below, and its context is in the logs
//	log          writes the verdict that is carried out
//	breaker      refuses before anything is spent; sees exhausted attempts
//	bulkhead     refuses before a token is taken
//	ratelimit    takes a token before anything is claimed
//	idempotency  acks what is done; claims what is not
//	backoff      turns the handler's error into a delay or a rejection
//	recoverer    turns the handler's panic into an error for all of the above
//	timeout      its error is one that backoff delays
//	heartbeat    keeps the lease of what really runs
//	handler
//
// The recoverer is there twice: a panic of the handler must be seen by all of
// the above as a failure, and a panic of a middleware is not to get out either.
//
// The documentation of each says what breaks when it is moved. The worst of it:
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
