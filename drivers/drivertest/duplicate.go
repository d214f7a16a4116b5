package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func duplicateRules() []Rule {
	return []Rule{
		{"DUP-1", "A message that is in flight twice has two receipts and one ID.", inFlightTwice},
		{"DUP-2", "A late retry of a lost delivery does not take back the ack of the delivery that holds the message now.", lateRetry},
		{"DUP-3", "A late ack by a lost delivery's receipt reports the lease as lost, and leaves the message to its new holder.", lateAck},
		{"DUP-4", "A late extension by a lost delivery's receipt reports the lease as lost.", lateExtension},
		{"DUP-5", "Both deliveries of one message in one batch are distinguished by their receipts.", duplicatesInOneBatch},
	}
}

func inFlightTwice(c *check) {
	lost, held := c.queue(QueueOptions{}).twice()
	require.Equal(c, lost.Message.ID, held.Message.ID, "the ID is the message's")
	require.NotEqual(c, lost.Receipt, held.Receipt, "the receipt is the delivery's")
}

func lateRetry(c *check) {
	b := c.queue(QueueOptions{})
	lost, held := b.twice()
	b.settle(ack(held))
	late := b.answers("settle", 1, b.src.Settle(c.ctx, []drivers.Settlement{release(lost)}))[0]
	if late != nil {
		c.refused(late, "a late retry", drivers.LeaseLost)
	}
	b.nothing(2*time.Second, "the message was acked by its holder")
}

func lateAck(c *check) {
	b := c.detecting()
	lost, held := b.twice()
	errs := b.answers("settle", 1, b.src.Settle(c.ctx, []drivers.Settlement{ack(lost)}))
	c.refused(errs[0], "a late ack", drivers.LeaseLost)
	b.settle(release(held))
	require.Equal(c, held.Message.ID, b.receiveOne().Message.ID, "the late ack removed a message that another holds")
}

func lateExtension(c *check) {
	b := c.detecting()
	lost, held := b.twice()
	errs := b.answers("extend", 1, b.src.Extend(c.ctx, []drivers.Extension{{Receipt: lost.Receipt, By: c.short()}}))
	c.refused(errs[0], "a late extension", drivers.LeaseLost)
	b.settle(ack(held))
}

func duplicatesInOneBatch(c *check) {
	b := c.queue(QueueOptions{})
	lost, held := b.twice()
	errs := b.answers("settle", 2, b.src.Settle(c.ctx, []drivers.Settlement{ack(lost), ack(held)}))
	if errs[0] != nil {
		c.refused(errs[0], "the ack of the lost delivery", drivers.LeaseLost)
	}
	if errs[1] != nil && !(errs[0] == nil && drivers.CodeOf(errs[1]) == drivers.LeaseLost) {
		c.fatalf("neither ack counted: %v", errs)
	}
	b.nothing(2*time.Second, "the message was acked")
}
