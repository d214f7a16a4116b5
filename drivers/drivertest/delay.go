package drivertest

import (
	"math"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func delayRules() []Rule {
	return []Rule{
		{"DELAY-1", "A retry with a delay comes back after the delay, and not before, though its lease would last longer.", retryDelayIsKept},
		{"DELAY-2", "A retry whose delay is longer than the lease does not come back when the lease would have ended.", retryDelayBeyondTheLease},
		{"DELAY-3", "A retry's delay is never shortened: what a provider counts in whole seconds is rounded up.", retryDelayIsRoundedUp},
		{"DELAY-4", "A message that was sent with a delay is not delivered before the delay has passed.", sendDelayIsKept},
		{"DELAY-5", "A delayed message does not hold up others of its batch.", sendDelayIsItsOwn},
		{"DELAY-6", "A queue that cannot delay messages refuses one with a delay, and does not send it immediately instead.", sendDelayIsRefused},
		{"DELAY-7", "A queue that cannot delay a retry refuses one with a delay, and the message can still be settled.", retryDelayIsRefused},
		{"DELAY-8", "A delay near the longest duration does not end immediately, on a queue that does not bound it.", longestDelay},
	}
}

func retryDelayIsKept(c *check) { retryAfterDelay(c, c.long(), 3*time.Second) }

func retryDelayBeyondTheLease(c *check) { retryAfterDelay(c, c.short(), c.short()+time.Second) }

func retryDelayIsRoundedUp(c *check) { retryAfterDelay(c, c.long(), 1300*time.Millisecond) }

func retryAfterDelay(c *check, lease, delay time.Duration) {
	b := c.retrying(QueueOptions{Lease: lease})
	b.send(text("later"))
	d := b.receiveOne()
	begin := b.now()
	b.settle(retry(d, delay))
	b.returns(delay)
	require.GreaterOrEqual(c, b.since(begin), delay, "the message came back too early")
}

func sendDelayIsKept(c *check) {
	b := c.delaying()
	m := text("later")
	m.Delay = 2500 * time.Millisecond
	begin := b.now()
	b.send(m)
	b.returns(m.Delay)
	require.GreaterOrEqual(c, b.since(begin), m.Delay, "the message came too early")
}

func sendDelayIsItsOwn(c *check) {
	b := c.delaying()
	later, now := text("later"), text("now")
	later.Delay = 3 * time.Second
	for tries := 3; ; tries-- {
		begin := b.now()
		b.send(later, now)
		d := b.receiveOne()
		if slow := b.since(begin) >= later.Delay; slow && tries > 1 {
			// Both were due when the answer came, in either order.
			b.settle(ack(d), ack(b.receiveOne()))
			continue
		}
		require.Equal(c, "now", string(d.Message.Body))
		require.Equal(c, "later", string(b.returns(later.Delay).Message.Body))
		require.GreaterOrEqual(c, b.since(begin), later.Delay)
		return
	}
}

func sendDelayIsRefused(c *check) {
	b := c.queue(QueueOptions{})
	c.needs(b.sink.Capabilities().MaxSendDelay <= 0, "messages can be sent with a delay")
	m := text("later")
	m.Delay = time.Minute
	errs := b.answers("send", 1, b.sink.Send(c.ctx, []*handler.Message{m}))
	c.refused(errs[0], "sending with a delay", drivers.Unsupported, drivers.Invalid)
	b.nothing(time.Second, "the message was refused")
}

func retryDelayIsRefused(c *check) {
	b := c.queue(QueueOptions{})
	c.needs(b.caps.MaxDelay <= 0, "a retry can be delayed")
	b.send(text("later"))
	d := b.receiveOne()
	errs := b.answers("settle", 1, b.src.Settle(c.ctx, []drivers.Settlement{retry(d, time.Minute)}))
	c.refused(errs[0], "a retry with a delay", drivers.Unsupported)
	b.settle(release(d))
	require.Equal(c, "later", string(b.receiveOne().Message.Body))
}

func longestDelay(c *check) {
	b := c.retrying(QueueOptions{})
	c.needs(b.caps.MaxDelay == drivers.Unlimited, "the queue bounds a retry's delay")
	for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 2} {
		b.send(text("x"))
		b.settle(retry(b.receiveOne(), d))
		b.nothing(500*time.Millisecond, "it was given back for "+d.String())
		if b.sink.Capabilities().MaxSendDelay == drivers.Unlimited {
			m := text("later")
			m.Delay = d
			b.send(m)
			b.nothing(500*time.Millisecond, "it was sent with a delay of "+d.String())
		}
	}
}
