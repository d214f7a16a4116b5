package cloud

import (
	"github.com/sluice-go/sluice/drivers"
)

// SourceConfig configures a [Source].
type SourceConfig struct {
	// Queue is the subscription's name as an operator knows it. It is required.
	Queue string
	// Provider describes the subscription's provider.
	Provider Provider
	// Republish is the topic that the subscription is on. A message to be retried
	// is sent there as a copy that replaces it, with its delay as a not-before and
	// its attempt number. The source closes it. If it is nil, a retry is a nack,
	// without delay, or fails if the provider has no nack.
	Republish *Sink
	// DeadLetter takes rejected messages. The source closes it. Nil means that the
	// source has no dead-letter queue.
	DeadLetter drivers.Sink
}
