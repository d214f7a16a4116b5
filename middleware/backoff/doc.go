// Package backoff is the middleware that spaces out retries: it turns a
// handler's error into handler.RetryAfter with a delay that grows with the
// attempt and is jittered, or into a rejection if another attempt cannot
// help or the attempts are used up.
//
//	retries, err := backoff.New(&backoff.Config{Min: time.Second, Max: 10 * time.Minute, MaxAttempts: 8})
//	h := handler.Chain(charge, retries)
//
// # Errors
//
//	nil                                     as it is
//	a verdict: RetryAfter, Reject, Drop  as it is, MaxAttempts or not: the
//	and backoff.Permanent                   handler knows better
//	permanent by Permanent or Classifier    handler.Reject
//	any other, attempts left                handler.RetryAfter(delay)
//	any other, last attempt                 handler.Reject, with handler.ErrExhausted
//	any other, attempt unknown              by the message's failures in this process
//	any other, while the consumer stops     handler.RetryAfter(0): the shutdown cut
//	                                        the work off, so it waits for no one; a
//	                                        rejection with context.Canceled likewise
//
// The attempt is unknown on a Pub/Sub subscription without a dead-letter policy. There
// the middleware counts how often a message has failed in this process, by its message
// ID, of up to 10,000 messages. So delays grow, and MaxAttempts holds for each process,
// though not for all together. The subscription's native RetryPolicy, if it has one,
// comes on top. A message without ID is left to that policy.
//
// # The delay
//
// The delay is computed from the attempt number alone, in constant time: if the queue
// counts attempts, there is no state to share between messages or to lose in a restart, and nothing
// sleeps while a lease runs down. Before jitter it is
//
//	min(Min × Multiplier^(attempt-1), Max, the provider's longest delay)
//
// and by default it is jittered fully, that is, it lies anywhere between zero and
// that. A thousand messages that failed together then return evenly spread.
//
// # Which errors are permanent
//
// Errors that the handler marks by handler.Reject, backoff.Permanent or Retryable()
// false, and errors that Config.Permanent or Config.Classifier selects. A message whose
// body handler.Typed can't decode is rejected by it. All other errors are retried; see
// [Classify]. In particular, a response of a dependency that cannot be decoded, or that
// means "denied" or "not found", is retried: a dependency that is down gives such
// responses too.
//
// # Position
//
// Inside idempotency and outside timeout and heartbeat, next to the handler's
// own errors. Outside idempotency, a failure of the idempotency store would be
// counted against the message's attempts and could dead-letter it though its
// handler never ran. Inside timeout, it would not see the timeout's error, and a
// message that timed out would be retried without a delay. Without the recoverer
// inside it, a panic passes it by and is retried by the queue's own policy.
// A breaker belongs outside it, to see attempts that are used up as the failures
// that they are.
package backoff
