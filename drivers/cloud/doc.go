// Package cloud is the driver for every provider that gocloud.dev/pubsub has a
// driver for: NATS, RabbitMQ, Kafka, Azure Service Bus. It opens gocloud's URLs
// with the openers that the program has registered on a mux of its own:
//
//	mux := new(pubsub.URLMux)
//	mux.RegisterTopic(rabbitpubsub.Scheme, &rabbitpubsub.URLOpener{Connection: conn})
//	mux.RegisterSubscription(rabbitpubsub.Scheme, &rabbitpubsub.URLOpener{Connection: conn})
//	queues := drivers.NewMux(&cloud.Opener{Mux: mux})
//
// The package links no provider. natscloud is NATS ready to use, portable the way
// back: a Sluice queue as a gocloud topic and subscription. To gocloud's own
// parameters a URL may add
//
//	retry              native: by the provider's nack (the default);
//	                   republish: by a copy that takes the message's place;
//	                   none: not at all, where the provider has no nack
//	retry_topic        the URL of the topic that copies go to, which is the one
//	                   that the subscription is on
//	dead_letter        the URL of the topic that rejected messages go to
//	max_message_bytes  refuse larger messages before they are sent
//
// For SQS, Pub/Sub and memory Sluice has drivers of its own, which can do more;
// a scheme belongs to the opener that a [drivers.Mux] was given last.
//
// # Delivery
//
// As the provider delivers, in no order that is promised. What gocloud's message
// has no field for (ID, group, dedupe ID, the time of sending) goes with it as
// metadata; a message from another sender has gocloud's LoggableID as its ID.
// Attempts are counted where retries are republished, and not known elsewhere.
//
// gocloud fetches ahead of what it is asked for. What it has fetched when the
// source is closed is given back. On a provider without redelivery (NATS) what a
// process holds is lost if it crashes: use one that has it for what must not be
// lost.
//
// RabbitMQ needs care, which a program takes with a [Provider]. gocloud's driver
// asks for no bound on what is pushed to a source: name one with prefetch_count,
// larger than the handlers' concurrency and the retries that wait. It never closes
// its channel: give each subscription a connection of its own, and close that in
// Release. A channel that RabbitMQ closes under a handler (consumer_timeout, half an
// hour) is opened anew under it, and a late ack would then hit another message: have
// Lost ask the delivery's channel. Messages are sent as transient, which a classic
// queue loses with a restart: have Prepare make them persistent. Its topics and
// subscriptions keep their connection: have the opener on the mux dial anew if that
// is closed.
//
// One ack that fails makes gocloud's subscription fail for good; the source
// reports that once and opens the subscription anew. A sink opens its topic anew
// after a send that failed, at most once a second, and so do the sinks of retries
// and of dead letters.
//
// # Limits
//
// There is no lease to extend, and no deadline: handlers have as long as the
// provider gives them (RabbitMQ: consumer_timeout, half an hour). A message cannot
// be sent with a delay, and nacks have none: a retry's delay is refused, and the
// consumer then gives the message back at once and logs that. With
// retry=republish delays are kept: the copy carries the time before which it is
// not to be handled, and whichever source receives it holds it until then,
// unacked. gocloud tells no size limit, depth or group order.
//
// # Verdict mapping
//
//	ack, drop        ack, in the background: one that fails is redelivered
//	retry with a delay  republished where asked for; otherwise unsupported
//	retry without       republished where asked for; otherwise nack, and
//	                    unsupported where the provider has none
//	release             as retry; a copy keeps its attempt
//	reject              sent to dead_letter with failure attributes, then acked;
//	                    unsupported where there is none
//
// A copy is sent before its original is acked: a crash in between makes two.
//
// # Attribute escaping
//
// This package's metadata begin with sluice-cloud-; an attribute whose name
// begins so travels with sluice-cloud-x- in front. Names and values must be UTF-8,
// since gocloud refuses others, and a name must not be empty. A provider vouches for
// none of it: who may publish to the topic without this package may set a
// message's ID, attempt and not-before as it likes. Let only those publish who may.
//
// # Permissions
//
// The provider's for receiving, and for sending to retry_topic and dead_letter.
//
// # Testing
//
// gocloud's mempubsub, registered on the mux under a scheme of one's own since
// mem is drivers/mem's; an in-process NATS server; a RabbitMQ of the machine's.
package cloud
