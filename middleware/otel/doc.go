// Package otel traces and measures queue handlers with OpenTelemetry, by the
// semantic conventions for messaging, version 1.43.
//
// One [Telemetry] serves a program:
//
//   - [Telemetry.Middleware] makes a span "process QUEUE" of each message, whose
//     parent is the span that sent it, and measures how long handlers take.
//   - [Telemetry.Observe] makes it a handler.Observer: give it to the consumer
//     (its Config.Observers) and to the idempotency middleware for the counts
//     that only they know. It makes a span "settle QUEUE" of each verdict that is
//     carried out.
//   - [Telemetry.Prepare] and [Telemetry.Send] are hooks of the producer: they
//     make the spans "create QUEUE" and "send QUEUE" and put the trace context
//     into the message.
//   - [Telemetry.WatchDepth] reports a queue's depth.
//   - [Telemetry.Expect] has the counters of a queue start at zero with the process.
//
// # Trace context
//
// It is read from a message's W3C traceparent, Pub/Sub's googclient_traceparent,
// or X-Ray's AWSTraceHeader, in this order, and written as W3C; the other two as
// well where [Config] has PubSub or XRay set. All of it is the sender's word; a
// creation context that a message has when it is sent is kept. It never fails a
// send: on a queue that carries few attributes (SQS: ten) tracestate is left out
// first, then traceparent. Baggage is neither read nor written unless
// [Config].Baggage is set, because it can carry data that must stay internal.
//
// # Metrics
//
// By the conventions: messaging.process.duration, messaging.client.consumed.messages,
// messaging.client.sent.messages, messaging.client.operation.duration (of sends and of
// receives, those that fail included). On Pub/Sub a consumer's queue is also
// messaging.destination.subscription.name.
//
// error.type is a driver's kind of error (denied, throttled, unreachable, timeout,
// not_found, …), or the code that the service gave (ConditionalCheckFailedException,
// 40001, unavailable, 503), or timeout, canceled, lease_lost, unreachable or panic; an
// error without any of these has its Go type. A type of one's own can have the method
// ErrorType() string. Metrics have at most 64 values; further ones are _OTHER. Besides:
//
//	sluice.messages.settled      by sluice.verdict
//	sluice.messages.retried
//	sluice.messages.released     given back unhandled
//	sluice.messages.duplicates
//	sluice.messages.expired
//	sluice.messages.in_flight
//	sluice.message.wait          from enqueue to the handler's start, by sluice.delivery:
//	                             first, retry, or unknown where attempts are not counted
//	sluice.message.in_hand.duration          in hand, before the handler starts
//	sluice.lease.extensions      error.type where refused
//	sluice.lease.losses
//	sluice.verdicts.late         came after the lease was lost
//	sluice.rejections.unroutable rejected without a dead-letter queue
//	sluice.receive.failures
//	sluice.queue.depth           by sluice.state: visible, in_flight, delayed
//	sluice.queue.oldest_age      by sluice.age: reported by the provider, or else received,
//	                             of the messages that were handled lately
//	sluice.queue.dead_letters
//	sluice.queue.paused          1 while an operator has paused it
//	sluice.queue.limit.concurrency, sluice.queue.limit.rate  an operator's limits
//	sluice.queue.oldest_letter_age
//	sluice.queue.letter_retention
//	sluice.stores.down           by sluice.store
//
// Message IDs appear only on spans, and bodies nowhere.
//
// # Its place in the order
//
// Inside recover, so that a panic reaches it as an error; outside everything
// else, so that a span covers the other middleware. Moved inside idempotency,
// duplicates leave no trace; inside backoff, spans do not show the delay.
package otel
