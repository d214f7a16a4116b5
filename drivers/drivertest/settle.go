package drivertest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func settleRules() []Rule {
	return []Rule{
		{"SETL-1", "A message that was acked never comes back.", ackIsFinal},
		{"SETL-2", "A message that was dropped never comes back.", dropIsFinal},
		{"SETL-3", "A retry without delay gives the message back immediately, not when its lease ends.", retryIsPrompt},
		{"SETL-4", "A retry that is left to the queue's own policy comes back: it is not lost.", retryByPolicyComesBack},
		{"SETL-5", "The zero settlement is a retry: a forgotten case never loses a message.", zeroSettlementRetries},
		{"SETL-6", "Settling twice does no harm: the second time reports a lost lease, or nothing.", settlingTwice},
		{"SETL-7", "An ack of a delivery by its receipt leaves other messages alone.", ackIsPrecise},
		{"SETL-8", "A settlement whose context has ended reports that context's error for each item.", settleAfterCancel},
		{"SETL-9", "A message that was given back can be acked by its new receipt.", ackAfterRetry},
		{"SETL-10", "Settling nothing is not an error.", settleNothing},
	}
}

func ackIsFinal(c *check) { settledIsFinal(c, ack) }

func dropIsFinal(c *check) { settledIsFinal(c, drop) }

func settledIsFinal(c *check, how func(drivers.Delivery) drivers.Settlement) {
	b := c.queue(QueueOptions{Lease: c.short()})
	b.send(text("done"))
	b.settle(how(b.receiveOne()))
	b.gone(b.o.Lease, "the message was settled for good")
}

func retryIsPrompt(c *check) {
	b := c.queue(QueueOptions{})
	b.send(text("again"))
	first := b.receiveOne()
	b.settle(release(first))
	second := b.receiveOne() // long before the lease of ten minutes ends
	require.Equal(c, "again", string(second.Message.Body))
	require.Equal(c, first.Message.ID, second.Message.ID, "a redelivered message keeps its ID")
}

func retryByPolicyComesBack(c *check) {
	b := c.queue(QueueOptions{Lease: c.short()})
	b.send(text("again"))
	d := b.receiveOne()
	b.settle(drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionRetry})
	require.Equal(c, "again", string(b.returns(b.o.Lease).Message.Body))
}

func zeroSettlementRetries(c *check) {
	b := c.queue(QueueOptions{Lease: c.short()})
	b.send(text("again"))
	b.settle(drivers.Settlement{Receipt: b.receiveOne().Receipt})
	require.Equal(c, "again", string(b.returns(b.o.Lease).Message.Body))
}

func settlingTwice(c *check) {
	b := c.queue(QueueOptions{Lease: c.short()})
	b.send(text("done"), text("other"))
	got := byBody(b.receive(2))
	b.settle(ack(got["done"]))
	second := b.answers("settle", 1, b.src.Settle(c.ctx, []drivers.Settlement{ack(got["done"])}))[0]
	if second != nil {
		c.refused(second, "the second ack", drivers.LeaseLost)
	}
	b.settle(ack(got["other"]))
	b.gone(b.o.Lease, "both messages were acked")
}

func ackIsPrecise(c *check) {
	b := c.queue(QueueOptions{})
	b.sendN(3)
	got := byBody(b.receive(3))
	b.settle(ack(got["1"]))
	b.settle(release(got["0"]), release(got["2"]))
	left := byBody(b.receive(2))
	require.Contains(c, left, "0")
	require.Contains(c, left, "2")
}

func settleAfterCancel(c *check) {
	b := c.queue(QueueOptions{})
	b.sendN(2)
	ds := b.receive(2)
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	for _, err := range b.answers("settle", 2, b.src.Settle(ctx, each(ds, ack))) {
		require.ErrorIs(c, err, context.Canceled)
	}
}

func ackAfterRetry(c *check) {
	b := c.queue(QueueOptions{Lease: c.short()})
	b.send(text("x"))
	b.settle(release(b.receiveOne()))
	b.settle(ack(b.receiveOne()))
	b.gone(b.o.Lease, "the message was acked at its second delivery")
}

func settleNothing(c *check) {
	b := c.queue(QueueOptions{})
	require.Empty(c, b.src.Settle(c.ctx, nil))
	require.Empty(c, b.src.Extend(c.ctx, nil))
	if b.src.Settle(c.ctx, []drivers.Settlement{}) != nil {
		c.fatalf("a settlement of nothing returned errors")
	}
	b.pass(time.Millisecond)
}
