// Package gocloud presents a Sluice queue as a gocloud.dev topic and subscription,
// to programs that are written for gocloud's pubsub. [NewTopic] returns a
// *pubsub.Topic that sends to a [drivers.Sink], and [NewSubscription] a
// *pubsub.Subscription that receives from a [drivers.Source]. Package drivers/cloud
// is the reverse.
//
// Metadata are the message's attributes, and gocloud's LoggableID its ID. An ack
// acks; a nack gives the message back immediately. Message.As, and the As of
// BeforeSend, take a **handler.Message, for the attempt, the group, the dedupe ID
// and the delay.
//
// gocloud does not extend leases: the queue delivers a message again when its lease
// ends, even if its handler is still running. gocloud also fetches ahead. Choose a
// long lease. Errors have gocloud's codes; errors.As finds the *drivers.Error in
// them.
package gocloud
