// Package webhook is the webhooks example: an HTTP endpoint that verifies a
// signed event, enqueues it and answers at once, and a handler that handles each
// event once however often it is sent.
//
// Senders of webhooks send again whatever was not answered in time, so an
// endpoint must answer fast and its handler must recognise what it has seen. The
// event's ID becomes the message's dedupe ID, and the idempotency middleware
// does the rest.
//
// Signatures are those of the Standard Webhooks specification
// (https://www.standardwebhooks.com): the headers webhook-id, webhook-timestamp
// and webhook-signature, the latter "v1," and the base64 of the HMAC-SHA256 of
// "id.timestamp.body". It is made over the raw body, before anything parses it:
// JSON that was decoded and encoded again is another text.
package webhook
