package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func attemptRules() []Rule {
	return []Rule{
		{"ATT-1", "Attempt is 1 at the first delivery and grows by one with each, if the provider counts.", attemptsCount},
		{"ATT-2", "Attempt is 0 if the provider does not count: it is never made up.", attemptsUnknown},
		{"ATT-3", "A delivery whose lease ended counts as an attempt.", expiryCounts},
		{"ATT-4", "A redelivered message is the same message: ID, body, attributes and enqueue time.", redeliveryIsFaithful},
		{"ATT-5", "A delivery that is settled as Released counts as an attempt, unless Capabilities.FreeRelease says that it does not.", releaseCounts},
		{"ATT-6", "If Capabilities.FreeRelease is true, releases alone never dead-letter a message, and the attempts that were made still count.", releasesAreFree},
		{"ATT-7", "A message that is settled as Released with a delay comes back after it; one without a delay comes back when its lease ends.", releaseComesBack},
	}
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

// releaseCounts checks both values of the capability: the runtime holds
// messages if a release would cost an attempt.
func releaseCounts(c *check) {
	b := c.counting()
	b.send(text("x"))
	for n := 1; n <= 4; n++ {
		d := b.receiveOne()
		want := n
		if b.caps.FreeRelease {
			want = 1
		}
		require.Equal(c, want, d.Message.Attempt, "attempt after %d releases", n-1)
		b.settle(unseen(d, 0))
	}
}

func releasesAreFree(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	c.needs(b.caps.FreeRelease, "a release counts as an attempt")
	b.send(text("x"))
	for n := 1; n <= b.o.MaxAttempts; n++ {
		for range b.o.MaxAttempts + 1 {
			b.settle(unseen(b.receiveOne(), 0))
		}
		d := b.receiveOne()
		require.Equal(c, n, d.Message.Attempt)
		b.settle(release(d))
	}
	b.nothing(time.Second, "its attempts are used up")
	require.Equal(c, []string{"x"}, bodies(b.letters().receive(1)))
}

func releaseComesBack(c *check) {
	b := c.retrying(QueueOptions{Lease: c.brief()})
	b.send(text("x"))
	d := b.receiveOne()
	begin := b.now()
	b.settle(unseen(d, time.Second))
	d = b.returns(time.Second)
	require.GreaterOrEqual(c, b.since(begin), time.Second, "of its delay")
	begin = b.now()
	b.settle(drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionRetry, Released: true})
	b.returns(b.o.Lease)
	if b.caps.FreeRelease && b.caps.MaxExtension > 0 { // others give it back in their own time, or have no lease
		require.GreaterOrEqual(c, b.since(begin), b.o.Lease-time.Second, "of its lease")
	}
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
