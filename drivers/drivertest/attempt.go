package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"
)

func attemptRules() []Rule {
	return []Rule{
		{"ATT-1", "Attempt is 1 at the first delivery and grows by one with each, where the provider counts.", attemptsCount},
		{"ATT-2", "Attempt is 0 where the provider does not count: it is never made up.", attemptsUnknown},
		{"ATT-3", "A delivery whose lease ended counts as an attempt.", expiryCounts},
		{"ATT-4", "A redelivered message is the same message: ID, body, attributes and enqueue time.", redeliveryIsFaithful},
	}
}

// counting makes a queue on which attempts are counted: on Pub/Sub that is one
// with a dead-letter policy.
func (c *check) counting() *bench {
	b := c.queue(QueueOptions{})
	if !b.caps.AttemptKnown {
		b = c.queue(QueueOptions{DeadLetter: true})
	}
	c.needs(b.caps.AttemptKnown, "the provider does not count attempts")
	return b
}

func attemptsCount(c *check) {
	b := c.counting()
	b.send(text("x"))
	for want := 1; want <= 4; want++ {
		d := b.receiveOne()
		require.Equal(c, want, d.Message.Attempt)
		b.settle(release(d))
	}
}

func attemptsUnknown(c *check) {
	b := c.queue(QueueOptions{})
	c.needs(!b.caps.AttemptKnown, "the provider counts attempts")
	b.send(text("x"))
	for range 2 {
		d := b.receiveOne()
		require.Zero(c, d.Message.Attempt)
		b.settle(release(d))
	}
}

func expiryCounts(c *check) {
	b := c.counting()
	lost, held := b.twice()
	require.Equal(c, lost.Message.Attempt+1, held.Message.Attempt)
}

func redeliveryIsFaithful(c *check) {
	b := c.queue(QueueOptions{})
	m := text("the same")
	m.SetAttribute("k", "v")
	b.send(m)
	first := b.receiveOne()
	b.settle(release(first))
	second := b.receiveOne()
	require.Equal(c, first.Message.ID, second.Message.ID)
	require.Equal(c, first.Message.Body, second.Message.Body)
	require.Equal(c, first.Message.Attributes, second.Message.Attributes)
	require.WithinDuration(c, first.Message.EnqueuedAt, second.Message.EnqueuedAt, time.Millisecond)
}
