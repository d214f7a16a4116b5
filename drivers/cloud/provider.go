package cloud

import (
	"context"

	"gocloud.dev/pubsub"
)

// A Provider describes a provider to this package, in the facts that gocloud does
// not report. The zero Provider is right for one that acks and nacks. Its functions
// may be called concurrently.
type Provider struct {
	// System is OpenTelemetry's messaging.system. Empty means the URL's scheme, or
	// "gocloud" for a source or sink that was not opened by URL.
	System string
	// NoNack is true if the provider cannot give a message back (NATS, Kafka). The
	// URL of a source must then say how retries are handled.
	NoNack bool
	// SameURL is true if a subscription's URL opens its topic too (NATS), so that
	// retries can be republished without a retry_topic.
	SameURL bool

	// Stop makes the provider stop sending, for a gocloud driver that does not end
	// its subscription in Shutdown (NATS). It is called once for each subscription
	// that was opened, before the last messages are taken from it. Nil does
	// nothing.
	Stop func(s *pubsub.Subscription) error
	// Release returns all unsettled messages of a subscription to the broker, as
	// closing its connection does (RabbitMQ). It is called once for each
	// subscription that was opened, after its Shutdown. If it is nil, the source
	// gives each message back by itself.
	Release func(s *pubsub.Subscription) error
	// Lost reports whether the provider has taken a delivery back, so that settling
	// it could affect another (RabbitMQ, after its channel was closed). The
	// delivery is then not settled, and its lease is reported as lost. Lost must
	// not wait for the provider. Nil never reports one.
	Lost func(m *pubsub.Message) bool
	// Check returns an error if no message can come through the subscription, for a
	// gocloud driver that waits in silence while its connection is down (NATS). It
	// is called every second while nothing comes, and must not wait. Nil relies on
	// gocloud.
	Check func(s *pubsub.Subscription) error

	// Flush returns once the provider has taken the messages sent to the topic, for
	// a gocloud driver whose Send returns earlier (NATS). It is called after each
	// batch. Nil does nothing.
	Flush func(ctx context.Context, t *pubsub.Topic) error
	// Prepare is gocloud's Message.BeforeSend of every message, for properties that
	// gocloud has no field for (RabbitMQ: persistence). Nil does nothing.
	Prepare func(as func(any) bool) error
}
