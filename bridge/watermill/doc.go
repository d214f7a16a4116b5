// Package watermill connects Watermill (github.com/ThreeDotsLabs/watermill) and
// Sluice both ways.
//
// [NewHandler] and [NewPublishingHandler] turn a handler that was written for
// Watermill, middleware included, into a [handler.Handler] that Sluice's runtimes
// call: the way to move one handler at a time. [NewPublisher] returns a
// message.Publisher and [NewSubscriber] a message.Subscriber over Sluice's queues,
// for a program that keeps Watermill's router.
//
// The payload is the body, and metadata are the attributes. The UUID is the value of
// the attribute _watermill_message_uuid, or the queue's ID if the message has none.
//
// # Handlers
//
// A nil error acks, as in Watermill's router. Any other error is the verdict that
// [handler.VerdictOf] reads from it; Watermill's own errors are a retry by the
// queue's policy. Messages that the handler returns are published before its own
// message is acked. If that fails the message is retried, so they may be published
// twice and are never lost.
//
// Watermill's Retry and DelayOnError sleep or count in the process while the lease
// runs down; use the backoff middleware instead of them, a rejection instead of
// Poison, and the idempotency middleware instead of Deduplicator. A message that
// the handler nacks is retried even if the handler returns nil. If the handler
// acks a message and then returns an error, the message is retried: the ack takes
// effect when the handler returns, and its error is the later word.
package watermill
