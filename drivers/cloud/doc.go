// Package cloud is the driver for every provider that gocloud.dev/pubsub has a
// driver for: NATS, RabbitMQ, Kafka, Azure Service Bus. It opens gocloud's URLs
// with the openers that the program registered on its own mux:
//
//	mux := new(pubsub.URLMux)
//	mux.RegisterTopic(rabbitpubsub.Scheme, &rabbitpubsub.URLOpener{Connection: conn})
//	mux.RegisterSubscription(rabbitpubsub.Scheme, &rabbitpubsub.URLOpener{Connection: conn})
//	queues := drivers.NewMux(&cloud.Opener{Mux: mux})
//
// The package links no provider. Package natscloud is this driver with NATS, and
// package bridge/gocloud is the reverse: a Sluice queue as a gocloud topic and
// subscription. In addition to gocloud's own parameters a URL may have
//
//	retry              native: by the provider's nack (the default);
//	                   republish: by a copy that replaces the message;
//	                   none: not at all, if the provider has no nack
//	retry_topic        the URL of the topic for these copies, which is the one
//	                   that the subscription is on
//	dead_letter        the URL of the topic for rejected messages
//	max_message_bytes  refuse larger messages before they are sent
//
// Sluice's own drivers for SQS, Pub/Sub and memory can do more. If several openers
// of a [drivers.Mux] have a scheme, the last one opens it.
//
// # Delivery
//
// As the provider delivers; no order is guaranteed. The fields that gocloud's
// message lacks (ID, group, dedupe ID, time of sending) travel as metadata. A message
// from another sender has gocloud's LoggableID as its ID. Attempts are counted if
// retries are republished, and otherwise unknown.
//
// gocloud fetches ahead. Closing a source returns the messages that gocloud has
// fetched to the provider. On a provider without redelivery (NATS), the messages that
// a process holds are lost if it crashes; use another provider for messages that must
// not be lost.
//
// RabbitMQ needs care, which a program takes with a [Provider]. gocloud's driver
// sets no bound on the messages pushed to a source: set one with prefetch_count,
// larger than the handlers' concurrency and the retries that wait. It never closes
// its channel: give each subscription its own connection, and close it in Release.
// If RabbitMQ closes a channel while a handler runs (consumer_timeout, half an hour),
// gocloud reopens the channel, and a late ack would affect another message: Lost
// should examine the delivery's channel. Messages are sent as transient, and a classic
// queue loses them in a restart: Prepare should make them persistent. Topics and
// subscriptions keep their connection: the opener on the mux should dial again if it
// is closed.
//
// A single ack that fails makes gocloud's subscription fail for good. The source
// reports that once and opens the subscription again. A sink opens its topic again
// after a failed send, at most once a second, and so do the sinks of retries and of
// dead letters.
//
// # Limits
//
// Deliveries have no deadline and no lease to extend: handlers have as much time as
// the provider allows (RabbitMQ: consumer_timeout, half an hour). Messages cannot be
// sent with a delay, and nacks have none: a retry with a delay is refused, and the
// consumer then gives the message back immediately and logs that. With
// retry=republish delays are kept: the copy carries its not-before, and the source
// that receives it holds it until then, unacked. gocloud reports no size limit, depth
// or group order.
//
// # Verdict mapping
//
//	ack, drop           ack, in the background: one that fails is redelivered
//	retry with a delay  republished if so configured; otherwise unsupported
//	retry without       republished if so configured; otherwise nack, or
//	                    unsupported if the provider has none
//	release             as retry; a copy keeps its attempt
//	reject              sent to dead_letter with failure attributes, then acked;
//	                    unsupported without dead_letter
//
// A copy is sent before its original is acked: a crash in between leaves both.
//
// # Attribute escaping
//
// This package's metadata begin with sluice-cloud-; an attribute whose name begins
// with it is prefixed with sluice-cloud-x-. Names and values must be UTF-8, since
// gocloud refuses others, and a name must not be empty. Providers do not protect them:
// anyone who may publish to the topic without this package can set a message's ID,
// attempt and not-before.
//
// # Permissions
//
// The provider's permissions to receive, and to send to retry_topic and
// dead_letter.
//
// # Testing
//
// The tests use gocloud's mempubsub, registered on the mux under another scheme
// since mem is drivers/mem's, an in-process NATS server, and the machine's RabbitMQ.
package cloud
