// Package idempotency keeps a duplicate delivery from having a second effect.
//
// Every queue delivers at least once: a message comes again when an ack is lost,
// when a lease ends before its handler does, when a producer sends twice. The
// middleware gives each message a key, and each key one of three states in a
// [Store]:
//
//	new          the handler runs, under a claim on the key
//	in progress  another worker holds the claim: the message is retried when
//	             the claim can have ended
//	done         the message is acked without running the handler
//
// The mark "done" is set only after the handler has succeeded; a handler that
// fails releases its claim. A claim has an owner's token and an end; it is
// renewed along with the message's lease, or every third of Config.ClaimTTL if the
// delivery has none, and one that its worker outlived is taken over by the next. So
// the duplicate of a message whose worker died waits for the lease's end, or for
// ClaimTTL, a minute, at most. The old owner's late mark is then refused (it is
// fenced by the token) and its handler's context is cancelled with [ErrClaimLost].
//
// # What it does not do
//
// Between the handler's effect and the mark lies a moment in which a crash
// leaves the effect without the mark: the handler then runs again. No store can
// close that gap from outside. If the effect is itself in a SQL database,
// package sqlstore closes it: effect and mark commit in one transaction. For
// effects elsewhere, hand the key on (most payment providers take an idempotency
// key).
//
// # Its place in the order
//
// Inside breaker and ratelimit, outside backoff, timeout and heartbeat. Moved
// inside backoff, a duplicate in progress counts as a failed attempt and can be
// dead-lettered for it. Moved outside breaker, a message that the breaker gives
// back costs two round trips to the store.
//
// # When the store is down
//
// The middleware fails closed: no handler runs unprotected and nothing is acked.
// Messages are postponed, which costs them no attempt, and a gate closes, so that
// receiving stops. handler.GatesOf finds the gate in the middleware, and
// middleware.Standard has it among its gates; give it to the consumer. The store
// is asked again after pauses that grow to half a minute. Health names the store,
// and one record and one event report each change of state.
//
// A message that was handled when the store went down is postponed too, and marked
// when the store is back, without being handled again, if it comes back to the
// same process.
package idempotency
