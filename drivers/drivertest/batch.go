package drivertest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// noReceipt is a receipt that no provider gave.
const noReceipt = "drivertest-no-receipt"

func batchRules() []Rule {
	return []Rule{
		{"BATCH-1", "One batch may hold settlements of different actions; each message gets its own.", mixedActions},
		{"BATCH-2", "A batch with a bad receipt settles the others.", badReceiptSparesTheRest},
		{"BATCH-3", "A bad receipt is reported at its own index, as a lost lease or as invalid.", badReceiptIsReported},
		{"BATCH-4", "A batch as large as Capabilities.MaxSettle is settled whole.", fullBatch},
		{"BATCH-5", "Retries of one batch keep each its own delay.", mixedDelays},
		{"BATCH-6", "The same receipt twice in one batch settles the message once and does not fail the others.", receiptTwiceInABatch},
	}
}

func mixedActions(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	b.send(text("ack"), text("retry"), text("reject"), text("drop"))
	got := byBody(b.receive(4))
	b.settle(ack(got["ack"]), release(got["retry"]), reject(got["reject"], "poison"), drop(got["drop"]))
	require.Equal(c, []string{"retry"}, bodies(b.receive(1)))
	require.Equal(c, []string{"reject"}, bodies(b.letters().receive(1)))
	b.nothing(time.Second, "each message has had its verdict")
}

func badReceiptSparesTheRest(c *check) {
	b := c.queue(QueueOptions{Lease: c.short()})
	b.send(text("one"), text("two"))
	ds := b.receive(2)
	errs := b.answers("settle", 3, b.src.Settle(c.ctx, []drivers.Settlement{ack(ds[0]), {Receipt: noReceipt, Message: text("?"), Action: 1}, ack(ds[1])}))
	require.NoError(c, errs[0])
	require.NoError(c, errs[2])
	b.gone(b.o.Lease, "both messages were acked beside a bad receipt")
}

func badReceiptIsReported(c *check) {
	b := c.detecting()
	b.send(b.single("one"))
	d := b.receiveOne()
	errs := b.answers("settle", 2, b.src.Settle(c.ctx, []drivers.Settlement{{Receipt: noReceipt, Message: text("?"), Action: 1}, ack(d)}))
	c.refused(errs[0], "an ack by a receipt that no one gave", drivers.LeaseLost, drivers.Invalid)
	require.NoError(c, errs[1])
}

func fullBatch(c *check) {
	b := c.leasing(QueueOptions{})
	n := min(b.caps.MaxSettle, 100)
	b.sendN(n)
	ds := b.receive(n)
	b.settle(each(ds, release)...)
	ds = b.receive(n)
	// A message that the batch left out must show before the lease of ten
	// minutes ends.
	const soon = 6 * time.Second
	for batch := range slices.Chunk(ds, b.caps.MaxExtend) {
		es := make([]drivers.Extension, len(batch))
		for i, d := range batch {
			es[i] = drivers.Extension{Receipt: d.Receipt, By: soon}
		}
		b.extend(es...)
	}
	b.settle(each(ds, ack)...)
	b.gone(soon, "the whole batch was acked")
}

func mixedDelays(c *check) {
	b := c.retrying(QueueOptions{})
	const delay = 3 * time.Second
	for tries := 3; ; tries-- {
		b.send(text("now"), text("later"))
		got := byBody(b.receive(2))
		begin := b.now()
		b.settle(retry(got["later"], delay), release(got["now"]))
		d := b.receiveOne()
		if slow := b.since(begin) >= delay; slow && tries > 1 {
			// Both were due when the answer came, in either order.
			b.settle(ack(d), ack(b.receiveOne()))
			continue
		}
		require.Equal(c, "now", string(d.Message.Body))
		require.Equal(c, "later", string(b.returns(delay).Message.Body))
		require.GreaterOrEqual(c, b.since(begin), delay)
		return
	}
}

func receiptTwiceInABatch(c *check) {
	b := c.queue(QueueOptions{Lease: c.short()})
	b.send(text("twice"), text("once"))
	got := byBody(b.receive(2))
	errs := b.answers("settle", 3, b.src.Settle(c.ctx, []drivers.Settlement{ack(got["twice"]), ack(got["twice"]), ack(got["once"])}))
	require.NoError(c, errs[0])
	if errs[1] != nil {
		c.refused(errs[1], "the second ack of a receipt", drivers.LeaseLost)
	}
	require.NoError(c, errs[2])
	b.gone(b.o.Lease, "both messages were acked")
}
