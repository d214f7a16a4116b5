package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func inspectRules() []Rule {
	return []Rule{
		{"INSP-1", "Depth counts the messages that can be received, those in flight and those that are delayed, each where they belong, or says that it does not know.", depthCounts},
		{"INSP-2", "Depth of an empty queue is zero, or unknown, and Peek shows nothing.", depthOfNothing},
		{"INSP-3", "Depth counts dead letters, and says that they are unknown if there is no dead-letter queue.", depthCountsLetters},
		{"INSP-4", "Depth reports the oldest message's age, or that it is unknown.", depthTellsAge},
		{"INSP-5", "Peek shows messages as they were sent, and they can be received immediately afterwards.", peekShows},
		{"INSP-6", "Peek shows dead letters, and why they were rejected.", peekShowsLetters},
		{"INSP-7", "Peek shows no more messages than it was asked for.", peekKeepsToMax},
		{"PURGE-1", "Purge removes the queue's messages and leaves its dead letters.", purgeQueue},
		{"PURGE-2", "Purge of the dead letters leaves the queue's messages.", purgeLetters},
	}
}

func depthCounts(c *check) {
	b := c.queue(QueueOptions{})
	b.inspector()
	b.sendN(5)
	b.depthIs(drivers.Depth{Visible: 5, DeadLetters: drivers.Unknown})
	ds := b.receive(2)
	b.depthIs(drivers.Depth{Visible: 3, InFlight: 2, DeadLetters: drivers.Unknown})
	b.settle(ack(ds[0]))
	b.depthIs(drivers.Depth{Visible: 3, InFlight: 1, DeadLetters: drivers.Unknown})
	if b.sink.Capabilities().MaxSendDelay > 0 {
		m := text("later")
		m.Delay = 10 * time.Minute
		b.send(m)
		b.depthIs(drivers.Depth{Visible: 3, InFlight: 1, Delayed: 1, DeadLetters: drivers.Unknown})
	}
}

func depthOfNothing(c *check) {
	b := c.queue(QueueOptions{})
	b.depthIs(drivers.Depth{DeadLetters: drivers.Unknown})
	ms, err := b.inspector().Peek(c.ctx, 10, false)
	require.NoError(c, err)
	require.Empty(c, ms)
}

func depthCountsLetters(c *check) {
	with := c.deadLetterQueue(QueueOptions{})
	with.inspector()
	with.depthIs(drivers.Depth{})
	with.sendN(2)
	for _, d := range with.receive(2) {
		with.settle(reject(d, "poison"))
	}
	with.depthIs(drivers.Depth{DeadLetters: 2})

	without := c.queue(QueueOptions{})
	d, err := without.inspector().Depth(c.ctx)
	require.NoError(c, err)
	require.EqualValues(c, drivers.Unknown, d.DeadLetters, "dead letters of a queue that has no dead-letter queue")
}

func depthTellsAge(c *check) {
	b := c.queue(QueueOptions{})
	i := b.inspector()
	b.sendN(1)
	begin := b.now()
	for b.since(begin) < b.patience() {
		d, err := i.Depth(c.ctx)
		require.NoError(c, err)
		require.LessOrEqual(c, d.OldestAge, b.since(begin)+time.Minute)
		if d.OldestAge < 0 || d.OldestAge >= time.Second {
			return
		}
		b.pass(200 * time.Millisecond)
	}
	c.fatalf("the oldest age does not grow")
}

func peekShows(c *check) {
	b := c.queue(QueueOptions{})
	b.inspector()
	m := attributed("ключ", "значение")
	m.Body = []byte("body \x00\xff")
	b.send(m)
	for range 2 {
		seen := b.peek(10, false)
		require.Len(c, seen, 1)
		require.Equal(c, m.Body, seen[0].Body)
		require.Equal(c, m.Attributes, seen[0].Attributes)
		require.Equal(c, m.ID, seen[0].ID)
	}
	d := b.receiveOne()
	require.Equal(c, m.Body, d.Message.Body)
	b.settle(ack(d))
	b.nothing(time.Second, "the message was acked; peeking must leave no copy")
}

func peekShowsLetters(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	b.inspector()
	b.send(text("poison"))
	b.settle(reject(b.receiveOne(), "the reason"))
	b.send(text("live"))
	seen := b.peek(10, true)
	require.Len(c, seen, 1)
	require.Equal(c, "poison", string(seen[0].Body))
	require.Equal(c, "the reason", b.failure(seen[0]).Reason)
}

func peekKeepsToMax(c *check) {
	b := c.queue(QueueOptions{})
	b.inspector()
	b.sendN(5)
	require.LessOrEqual(c, len(b.peek(2, false)), 2)
	require.Len(c, byBody(b.receive(5)), 5)
}

func purgeQueue(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	p := b.purger()
	b.send(text("poison"))
	b.settle(reject(b.receiveOne(), "poison"))
	b.sendN(5)
	require.NoError(c, p.Purge(c.ctx, false))
	b.nothing(time.Second, "the queue was purged")
	require.Equal(c, []string{"poison"}, bodies(b.letters().receive(1)))
}

func purgeLetters(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	p := b.purger()
	b.send(text("poison"))
	b.settle(reject(b.receiveOne(), "poison"))
	b.send(text("live"))
	require.NoError(c, p.Purge(c.ctx, true))
	b.letters().nothing(time.Second, "the dead letters were purged")
	require.Equal(c, "live", string(b.receiveOne().Message.Body))
}
