// Package pubsub is the driver for Google Cloud Pub/Sub.
//
// A queue is a topic and one subscription of it: a source receives from
//
//	gcppubsub://projects/PROJECT/subscriptions/SUBSCRIPTION
//
// and a sink sends to
//
//	gcppubsub://projects/PROJECT/topics/TOPIC
//
// A sink opened with a subscription's URL sends to that subscription's topic.
// The parameters of the URL:
//
//	ack_deadline              lease given to each received message, 1s to 600s, by
//	                          one more request a receive; default: the
//	                          subscription's own ack deadline, at no cost
//	dead_letter               topic for rejected messages, a full name or an ID
//	                          in the same project; default: that of the
//	                          subscription's dead-letter policy
//	dead_letter_subscription  subscription by which dead letters are counted and
//	                          read; default: the only one of the dead-letter
//	                          topic, or the one with the topic's ID
//	endpoint                  host:port of the service, for a regional endpoint
//	topic                     for plan, apply and doctor only: the subscription's
//	                          topic, a full name or an ID in the same project;
//	                          default: the one that the subscription is on, or else
//	                          the one with its ID
//	project_number            for plan, apply and doctor only: the number of the
//	                          project, which is part of the name of Pub/Sub's
//	                          service agent; default: a request to Resource Manager
//
// If PUBSUB_EMULATOR_HOST is set every queue is opened there, in plain text and
// without credentials; it overrides endpoint. Otherwise the credentials are the
// Application Default Credentials, unless the [Opener] has others.
//
// # Delivery
//
// At least once. Messages are received by unary Pulls that wait like long
// polls: several may be outstanding, nothing is prefetched, and a parked retry
// uses up no stream's flow control. Acknowledgements are best effort: a late one
// has no effect and no error, unless exactly-once delivery is on, when it returns a
// lost lease. The attempt number is known only if the subscription has a dead-letter
// policy; otherwise it is 0.
//
// A message that is released unhandled (a nack) counts as a delivery attempt if the
// subscription has a dead-letter policy. The service cannot avoid that, so the
// runtime releases as few messages as it can.
//
// A Pull to which no answer comes has failed, and so has a connection that gives no
// sign of life for 35 seconds: an outage is distinguished from an idle queue within a
// minute. Other ways in which emulators end an idle Pull are not failures.
//
// Credentials that expire after the queue was opened are an outage
// ([drivers.Transient]); a missing right is [drivers.Denied].
//
// The lease of a message begins somewhere between the request and the response of a
// Pull. A delivery's deadline is counted from the request, but not from earlier than
// a quarter of the lease before the response, since a response does not travel for
// longer.
//
// Messages of one ordering key arrive in order if the subscription has message
// ordering; when one of them is retried, the service delivers the later ones of
// its key again as well.
//
// A message that a redrive aimed at another subscription (see
// sluice-redrive-target) is acknowledged and skipped.
//
// The subscription is read about every two minutes (at an emulator every two
// seconds). The source follows its ack deadline, dead-letter policy and topic, and
// logs a change ([Source.Current]). A subscription whose topic was deleted delivers
// the messages that it still has, and none after that, even if a topic of that name
// is created again: the consumer reports an outage until the subscription is created
// anew. The same holds if the subscription was detached, pushes now, or was created
// anew with message ordering, which a consumer that was started without cannot keep.
//
// # Limits
//
// 1,000 messages and 10 MB a publish request; 10 MB a message; 100 attributes
// with names of at most 256 and values of at most 1,024 bytes; ordering keys of
// at most 1,024 bytes. A message beyond them is refused before anything is sent.
// A message with a delay is refused as well. A lease, and the delay of a retry, is
// at most 600 seconds at a time, in whole seconds (fractions are rounded up); a lease
// can be extended any number of times.
//
// # Verdict mapping
//
//	ack, drop             Acknowledge
//	retry, release        ModifyAckDeadline(0): a nack, after which the
//	                      subscription's retry policy decides
//	retry with a delay    ModifyAckDeadline(delay); the delay of a retry policy
//	                      is added to it
//	dead-letter           Publish to the dead-letter topic, then Acknowledge
//
// A letter keeps body, attributes, ordering key and dedupe ID, and gets both the
// failure attributes of package drivers and those that the service's own
// forwarding sets (CloudPubSubDeadLetterSource…), so that either kind of letter
// reads the same. A nack and an ended lease count as delivery attempts, and so
// does a retry with a delay.
//
// # Attribute escaping
//
// Any UTF-8 is sent unchanged. An attribute whose name Pub/Sub refuses (the empty
// name and names that begin with "goog", other than "googclient_") or that this
// driver uses itself is sent with "sluice-esc-" before its name, which the
// source removes. The dedupe ID travels as sluice-dedupe-id. A message with
// neither body nor attributes, which Pub/Sub refuses, carries sluice-empty.
// Values and bodies are never changed, so that any client can read them.
//
// A message without a dedupe ID has an identity in that attribute, which the
// service's own forwarding to a dead-letter topic keeps. A message that another
// program published without the attribute is identified by its message ID: this
// driver's letters and a redrive of them keep it, the service's forwarding does not.
//
// # Permissions
//
// A source needs roles/pubsub.subscriber and roles/pubsub.viewer on the
// subscription (it reads the ack deadline and the dead-letter policy), and to
// reject messages roles/pubsub.publisher on the dead-letter topic. A sink needs
// roles/pubsub.publisher on the topic. Depth needs roles/monitoring.viewer on
// the project, and roles/pubsub.viewer on the dead-letter topic to find its
// subscription. The service itself needs, for native dead-lettering, publisher on
// the dead-letter topic and subscriber on the subscription.
//
// # Depth
//
// Pub/Sub reports the size of a backlog through Cloud Monitoring only, some minutes
// late. Its number counts unacknowledged messages, including those in flight, whose
// number it does not report. On an emulator without Cloud Monitoring the driver pulls
// the messages and releases them, which counts as a delivery attempt of each.
//
// # Provisioning
//
// Apply creates the topic, the subscription, the dead-letter topic and the
// subscription on it, neither of which expires, and grants Pub/Sub's service agent
// the roles that it needs to forward letters: publisher on the dead-letter topic and
// subscriber on the subscription. It needs roles/pubsub.admin, and
// resourcemanager.projects.get or the project's number in the URL. An emulator needs
// no grants; they are checked only if the number is given. A letter's age starts when
// it is dead-lettered.
//
// Each subscription gets a filter that excludes messages redriven for another one
// (see sluice-redrive-target), unless its full name is so long that the filter
// would have more than 256 bytes, Pub/Sub's limit: its consumers then skip such
// messages themselves. A filter, message ordering and the topic cannot be changed
// once a subscription exists. Alarms are printed, as alert policies of Cloud
// Monitoring, rather than created: see admin.Alerts.
//
// # Testing
//
// The driver runs against Google's in-process fake (package pstest), started by
// drivers/pubsub/pubsubtest, and against the emulator that PUBSUB_EMULATOR_HOST names.
package pubsub
