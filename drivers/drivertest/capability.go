package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"
)

func capabilityRules() []Rule {
	return []Rule{
		{"CAP-1", "A queue's capabilities name the queue and the system, give batch sizes of at least one and are the same each time.", capabilitiesAreComplete},
		{"CAP-2", "Capabilities.Lease is the lease that a receive gives.", capabilitiesTellTheLease},
		{"CAP-3", "Capabilities report whether there is a dead-letter queue, its name and its number of attempts.", capabilitiesTellTheDeadLetterQueue},
		{"CAP-4", "Capabilities report whether groups are ordered.", capabilitiesTellTheOrder},
	}
}

func capabilitiesAreComplete(c *check) {
	b := c.queue(QueueOptions{})
	source, sink := b.src.Capabilities(), b.sink.Capabilities()
	require.Equal(c, source, b.src.Capabilities(), "the source's capabilities changed")
	require.Equal(c, sink, b.sink.Capabilities(), "the sink's capabilities changed")
	require.NotEmpty(c, source.Queue, "Queue of the source")
	require.NotEmpty(c, sink.Queue, "Queue of the sink")
	require.NotEmpty(c, source.System, "System of the source")
	require.Equal(c, source.System, sink.System, "System of source and sink")
	for what, n := range map[string]int{
		"MaxReceive": source.MaxReceive, "MaxSettle": source.MaxSettle, "MaxExtend": source.MaxExtend, "MaxSend": sink.MaxSend,
	} {
		require.GreaterOrEqual(c, n, 1, what)
	}
}

func capabilitiesTellTheLease(c *check) {
	b := c.leasing(QueueOptions{Lease: c.brief() + 3*time.Second})
	require.Equal(c, b.o.Lease, b.caps.Lease)
}

func capabilitiesTellTheDeadLetterQueue(c *check) {
	with := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	require.Equal(c, c.attempts(), with.caps.MaxAttempts)
	require.NotEmpty(c, with.caps.DeadLetterQueue)
	without := c.queue(QueueOptions{})
	require.False(c, without.caps.DeadLetter, "DeadLetter of a queue that has no dead-letter queue")
}

func capabilitiesTellTheOrder(c *check) {
	require.True(c, c.queue(QueueOptions{Ordered: true}).caps.Ordered)
}
