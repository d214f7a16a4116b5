// Package inbox receives webhooks: an [Inbox] is an http.Handler that verifies who sent
// a request, puts its event into a queue, and answers. A handler behind the queue does
// the work, with retries and a dead-letter queue, and the sender never waits for it.
//
//	provider, err := inbox.NewGitHub(secret)
//	…
//	p, err := producer.New(sink, nil)
//	…
//	in, err := inbox.New(provider, p, nil)
//	…
//	mux.Handle("/hooks/github", in)
//
// # Providers
//
//	             verified by                      identity                    type
//	NewStandard  Standard Webhooks, v1 and v1a    webhook-id                  "type" of the body
//	NewStripe    Stripe-Signature, v1             "id" of the event           "type" of the event
//	NewGitHub    X-Hub-Signature-256              X-GitHub-Delivery           X-GitHub-Event
//	NewSlack     X-Slack-Signature, v0            "event_id", or the trigger  type of the inner event
//	NewShopify   X-Shopify-Hmac-Sha256            topic and event ID          X-Shopify-Topic
//	NewSNS       the signature of the document    MessageId                   none
//
// Signatures are made over the raw body, before anything parses it. They are compared
// in constant time. Each provider takes several secrets, so that one can be changed
// while both are valid. A program that receives from another sender implements
// [Provider].
//
// # Messages
//
// The message's body is the request's, byte for byte. Its dedupe ID is the event's
// identity, so that an event that is sent twice is two messages with one identity: a
// FIFO queue drops the second, and on other queues package idempotency handles the
// first only. Senders choose their identities: if several send to one queue, give each
// a [Config].Namespace, or the event of one can be taken for a duplicate of another's.
// The attributes are "content-type", "type", which package route reads, and
// those of [Config].Headers. The body of SNS is the signed document; package
// codec/envelope unwraps it.
//
// # Answers
//
//	202  the queue has the event
//	200  a handshake (Slack's url_verification, GitHub's ping, SNS's confirmation of a
//	     subscription): nothing is queued
//	400  the request is signed, but it is not an event of the provider
//	401  the signature is missing or wrong, or the timestamp is too old
//	405  the method is not POST
//	413  the body is larger than [Config].MaxBytes, or the queue refuses the message
//	429  the queue is overloaded (producer.Pressure), or too many requests are being
//	     served; with Retry-After
//	503  the queue can't be reached in time; with Retry-After
//
// # Replays
//
// Standard Webhooks, Stripe, Slack and SNS sign a timestamp: a recorded request can be
// sent again only within the tolerance, and is then a duplicate of the same identity.
// GitHub and Shopify sign the body alone, neither a time nor the headers. Whoever has
// recorded a request of theirs can send it again at any time, under another identity or
// type. TLS keeps others from recording.
//
// # Logs
//
// Refusals and failures are logged once a minute each, without bodies, headers and
// secrets.
package inbox
