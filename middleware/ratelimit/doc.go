// Package ratelimit is the middleware that limits how many handlers start in any
// period of time: in one process, in all processes that share a store, or for
// each key of a message.
//
//	limit, err := ratelimit.New(100, time.Minute, nil)
//	h := handler.Chain(charge, limit.Middleware)
//	c, err := consumer.New(source, h, &consumer.Config{Gates: []handler.Gate{limit}})
//
// The window slides: there is no stretch of the given length, wherever it begins,
// in which more handlers start than the limit. Limits that count by calendar
// minute, or that refill a bucket, let up to twice as many through around a
// boundary, which the other side's limit then refuses.
//
// # Holding back
//
// A [Limiter] is both a middleware, in which each message takes a place in the
// window before its handler starts, and a handler.Gate, which stops receiving
// while the window is full. Both are necessary: messages over the limit should
// stay with the provider, where they cost neither lease nor attempt.
//
// Some messages come over the limit all the same, because several processes share
// it or a receive brought more than there is room for. Such a message takes the
// next place and waits for it, if the wait exceeds neither [Config.MaxWait] nor
// half of the rest of its lease. Otherwise it is returned to the queue with a
// delay, until the backlog before it should be done; on SQS, and on Pub/Sub with
// a dead-letter policy, that delivery counts as an attempt.
//
// # Limits per key
//
// With [Config.Key] each key has its own window. The key of the next message is
// unknown until it is received, so the gate stays open. A message over its key's
// limit is released; it waits only if MaxWait is set, since otherwise one busy
// key could occupy all handlers. That suits limits that are seldom reached. If a
// single key has a long backlog, give it a separate queue.
//
// # Sharing a limit
//
// With a shared [Store], such as package redisstore's, all limiters with the
// same [Config.Name] share one window. If the store is unreachable, messages
// wait like those over the limit, and receiving pauses, unless [Config.FailOpen]
// allows them to pass without a limit.
//
// # Position
//
// Outside idempotency, so that a waiting message holds no claim, and inside
// breaker, so that a message that the breaker refuses takes no place. Outside
// backoff and timeout: inside backoff, a store's failure would use up a message's
// attempts; inside timeout, waiting would count as the handler's time.
package ratelimit
