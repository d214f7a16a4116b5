// Package webhook is the webhooks example: an HTTP endpoint that queues signed events of
// two senders, and a handler that handles each event once however often it is sent.
//
// Senders of webhooks send again whatever was not answered in time, so an
// endpoint must answer fast and its handler must recognise what it has seen. Package
// inbox verifies, queues and answers; the event's ID becomes the message's dedupe ID,
// and the idempotency middleware does the rest.
//
// "sluice run --http --http-secret-env" and package httphandler send events that
// /hooks/internal takes. "sluice ingest" is the same endpoint as a command.
package webhook
