// Package idempotency keeps a duplicate delivery from having a second effect.
//
// Every queue delivers at least once: a message is redelivered when an ack is
// lost, when a lease ends before its handler does, or when a producer sends
// twice. The middleware gives each message a key, and each key one of three
// states in a [Store]:
//
//	new          the handler runs, under a claim on the key
//	in progress  another worker holds the claim: the message is retried when
//	             the claim can have ended
//	done         the message is acked without running the handler
//
// The mark "done" is set only after the handler has succeeded; a handler that fails
// releases its claim. A claim has an owner's token and an expiry. It is renewed
// along with the message's lease, or every third of Config.ClaimTTL if the delivery
// has no lease. The next worker takes over an expired claim. So the duplicate of a
// message whose worker died waits for the lease's end, or for ClaimTTL, a minute,
// at most. The store then refuses the old owner's late mark (the token fences it),
// and its handler's context is canceled with [ErrClaimLost].
//
// # Limits
//
// A crash between the handler's effect and the mark leaves the effect without
// the mark: the handler then runs again. No store can close that gap from
// outside. If the effect is itself in a SQL database, package sqlstore closes
// it: effect and mark commit in one transaction. For effects elsewhere, hand the
// key on (most payment providers take an idempotency key).
//
// # Its place in the order
//
// Inside breaker and ratelimit, outside backoff, timeout and heartbeat. Moved
// inside backoff, a duplicate in progress counts as a failed attempt and can be
// dead-lettered for it. Outside breaker, a message that the breaker releases
// costs two round trips to the store.
//
// # When the store is down
//
// The middleware fails closed: no handler runs unprotected, and no message is
// acked. Messages are postponed, which costs them no attempt, and a gate closes,
// so that receiving stops. handler.GatesOf finds the gate in the middleware, and
// middleware.Standard has it among its gates; give it to the consumer. The store
// is probed again after pauses that grow to half a minute. Health names the
// store, and one record and one event report each change of state.
//
// A message that was handled when the store failed is postponed too. If it returns
// to the same process, it is marked when the store works again, without being
// handled again.
package idempotency
