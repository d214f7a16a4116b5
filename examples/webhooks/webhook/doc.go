// Package webhook is the webhooks example: an HTTP endpoint that verifies a
// signed event, enqueues it and answers immediately, and a handler that handles each
// event once however often it is sent.
//
// Senders of webhooks send again whatever was not answered in time, so an
// endpoint must answer fast and its handler must recognise what it has seen. The
// event's ID becomes the message's dedupe ID, and the idempotency middleware
// does the rest.
//
// Signatures are those of the Standard Webhooks specification, and package
// handler/webhook verifies them, over the raw body. "sluice run --http
// --http-secret-env" and package httphandler send events that are signed so.
package webhook
