// Package envelope takes messages out of what cloud services wrap them in, and
// reads the events that those services send.
//
//   - [SNS] unwraps notifications of declared SNS topics that come through SQS;
//     [SNSRaw] declares that a topic delivers raw.
//   - [SNSEndpoint] is an http.Handler for an SNS subscription by HTTPS.
//   - [ParseEventBridge] reads EventBridge's envelope.
//   - [ParseObjects] reads what S3 and Cloud Storage tell of their objects.
//
// Which envelope a queue has is declared, never guessed: where a body that looks
// like an envelope is taken for one, whoever can send a body can forge the
// metadata that the envelope is trusted for.
//
// # Where it stands
//
// The middleware [SNS] stands inside what handles messages as they were received
// (otel, log, idempotency, backoff) and outside whatever reads bodies or the
// publisher's attributes, such as a decompression. It hands on a copy, so that a
// message is retried and dead-lettered as it was received. Outside of backoff
// its rejections would not be counted; inside of a codec it comes too late. The
// parsers stand in the handler.
package envelope
