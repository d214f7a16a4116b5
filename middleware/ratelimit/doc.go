// Package ratelimit is the middleware that keeps handlers to at most so many
// messages in any stretch of time, for one process, for all that share a store,
// or for each key of a message.
//
//	limit, err := ratelimit.New(100, time.Minute, nil)
//	h := handler.Chain(charge, limit.Middleware)
//	c, err := consumer.New(source, h, &consumer.Config{Gates: []handler.Gate{limit}})
//
// The window slides: there is no stretch of the given length, wherever it
// begins, in which more handlers start than the limit. Limits that count by the
// clock's minute, or that refill a bucket, let up to twice as many through around
// a boundary, which is what the other side's own limit then refuses.
//
// # Holding back
//
// A [Limiter] is two things: a middleware, in which each message takes a place in
// the window before its handler starts, and a handler.Gate, which stops receiving
// while there is none. It needs both: receiving is where messages over the limit
// should stay, with the provider, where they cost neither lease nor attempt.
//
// Some messages come over the limit all the same, because several processes
// share it or a receive brought more than there is room for. Such a message takes
// the next place and waits for it, if it is at most as far away as
// [Config.MaxWait] and half of what is left of its lease. Otherwise it is given
// back with a delay, each for the time at which the backlog should have come to
// it; on SQS, and on Pub/Sub with a dead-letter policy, that delivery counts as
// an attempt.
//
// # Limits per key
//
// With [Config.Key] each key has a window of its own. The key of the next message
// is unknown before it is received, so the gate stays open, nothing
// waits unless MaxWait says so (or one busy key would occupy all handlers), and
// every message over its key's limit is given back. That suits limits that are
// seldom reached. If one key alone has a long backlog, give it a queue of its
// own.
//
// # Sharing a limit
//
// With a shared [Store], such as that of package redisstore, all limiters of the
// same [Config.Name] have one window. When the store cannot be reached, messages
// are held back like those over the limit, and receiving pauses, unless
// [Config.FailOpen] says to go on without a limit.
//
// # Position
//
// Outside idempotency, so that a message that is held back has claimed nothing,
// and inside breaker, so that one that a breaker refuses takes no place. Outside
// backoff and timeout: inside backoff, a store's failure would use up a message's
// attempts; inside timeout, waiting would count as the handler's time.
package ratelimit
