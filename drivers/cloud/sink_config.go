package cloud

import (
	"context"

	"gocloud.dev/pubsub"
)

// SinkConfig configures a [Sink].
type SinkConfig struct {
	// Queue is the topic's name as an operator knows it. It is required.
	Queue string
	// Provider describes the topic's provider.
	Provider Provider
	// MaxMessageBytes is the size of the largest message, attributes included; a
	// larger one is refused before it is sent. Zero means no limit but the
	// provider's own.
	MaxMessageBytes int
	// Open opens the topic again after a send has failed for a reason that is not
	// the message's: gocloud's topics keep the connection that they were created
	// with. A later Send calls it, at most once a second. Nil keeps the topic
	// forever.
	Open func(ctx context.Context) (*pubsub.Topic, error)
}
