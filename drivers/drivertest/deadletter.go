package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func deadLetterRules() []Rule {
	return []Rule{
		{"DLQ-1", "A message that was delivered MaxAttempts times without being acked goes to the dead-letter queue.", exhaustedGoesToDeadLetters},
		{"DLQ-2", "A message is delivered MaxAttempts times before it goes to the dead-letter queue, no fewer.", exhaustedNotBefore},
		{"DLQ-3", "A dead letter has the body and the attributes that the message had.", exhaustedIsFaithful},
		{"DLQ-4", "Leases that ended count towards MaxAttempts as retries do.", expiredGoesToDeadLetters},
		{"DLQ-5", "A message that is acked at its last attempt does not go to the dead-letter queue.", ackedAtTheLast},
	}
}

func exhaustedGoesToDeadLetters(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	b.send(text("poison"))
	b.exhaust(b.releaseIt)
	require.Equal(c, []string{"poison"}, bodies(b.letters().receive(1)))
	b.nothing(time.Second, "the message is a dead letter")
}

func exhaustedNotBefore(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	b.send(text("poison"))
	require.Equal(c, b.o.MaxAttempts, b.exhaust(b.releaseIt), "number of deliveries")
}

func exhaustedIsFaithful(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	m := text("poison \x00\xff")
	m.SetAttribute("k", "v")
	m.SetAttribute("ключ 🔑", "значение\n")
	b.send(m)
	b.exhaust(b.releaseIt)
	letter := b.letters().receiveOne().Message
	require.Equal(c, m.Body, letter.Body)
	for k, v := range m.Attributes {
		require.Equal(c, v, letter.Attributes[k], "attribute %q", k)
	}
}

func expiredGoesToDeadLetters(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts(), Lease: c.brief()})
	b.send(text("crasher"))
	b.exhaust(func(d drivers.Delivery) { b.expire(d) })
	require.Equal(c, []string{"crasher"}, bodies(b.letters().receive(1)))
}

func ackedAtTheLast(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	b.send(text("late success"))
	for n := 1; n < b.o.MaxAttempts; n++ {
		b.settle(release(b.receiveOne()))
	}
	b.settle(ack(b.receiveOne()))
	b.nothing(time.Second, "the message was acked")
	b.letters().nothing(time.Second, "the message was acked at its last attempt")
}
