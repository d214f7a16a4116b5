// Package envelope unwraps the messages that cloud services put in envelopes, and
// parses the events that those services send.
//
//   - [SNS] unwraps notifications of declared SNS topics that arrive through SQS;
//     [SNSRaw] declares that a topic delivers raw messages.
//   - [ParseEventBridge] parses EventBridge's envelope.
//   - [ParseObjects] parses the events of S3 and Cloud Storage about their objects.
//
// An HTTPS subscription of an SNS topic is served by package consumer/snspush.
//
// The envelope of a queue is declared and never guessed. If every body that looks
// like an envelope were unwrapped, anyone who can send a body could forge the
// trusted metadata.
//
// # Order
//
// Put the middleware [SNS] inside the middleware that handles messages as
// received (otel, log, idempotency, backoff) and outside any that reads bodies or
// the publisher's attributes, such as decompression. It passes on a copy, so a
// message is retried and dead-lettered as it was received. Outside of backoff its
// rejections would not be counted, and inside of a codec it comes too late. Call
// the parsers in the handler.
package envelope
