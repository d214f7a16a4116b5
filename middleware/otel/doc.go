// Package otel traces and measures queue handlers with OpenTelemetry, by the
// semantic conventions for messaging, version 1.43.
//
// One [Telemetry] serves a program:
//
//   - [Telemetry.Middleware] makes a span "process QUEUE" of each message, whose
//     parent is the span that sent it, and measures how long handlers take.
//   - [Telemetry.Observe] makes it a handler.Observer: give it to the consumer
//     (its Config.Observers) and to the idempotency middleware for the counts
//     that only they know.
//   - [Telemetry.Prepare] and [Telemetry.Send] are hooks of the producer: they
//     make the spans "create QUEUE" and "send QUEUE" and put the trace context
//     into the message.
//   - [Telemetry.WatchDepth] reports a queue's depth.
//
// # Trace context
//
// It is read from a message's W3C traceparent, Pub/Sub's googclient_traceparent,
// or X-Ray's AWSTraceHeader, in this order, and written as W3C; the other two as
// well where [Config] has PubSub or XRay set. It never fails a
// send: on a queue that carries few attributes (SQS: ten) tracestate is left out
// first, then traceparent. Baggage is neither read nor written unless
// [Config].Baggage is set, since it can carry what must not leave the house.
//
// # Metrics
//
// By the conventions: messaging.process.duration, messaging.client.consumed.messages,
// messaging.client.sent.messages, messaging.client.operation.duration. Besides:
//
//	sluice.messages.settled      by sluice.verdict
//	sluice.messages.retried
//	sluice.messages.released     given back unhandled
//	sluice.messages.duplicates
//	sluice.messages.in_flight
//	sluice.lease.extensions      error.type where refused
//	sluice.lease.losses
//	sluice.verdicts.late         came after the lease was lost
//	sluice.rejections.unroutable rejected without a dead-letter queue
//	sluice.receive.failures
//	sluice.queue.depth           by sluice.state: visible, in_flight, delayed
//	sluice.queue.oldest_age      seconds
//	sluice.queue.dead_letters
//
// Message IDs are on spans only; bodies are nowhere.
//
// # Its place in the order
//
// Inside recover, so that a panic reaches it as an error; outside all else, so
// that a span covers what the other middleware do. Moved inside idempotency,
// duplicates leave no trace; inside backoff, spans do not tell the delay.
package otel
