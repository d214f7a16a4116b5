package drivertest

import (
	"math"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func leaseRules() []Rule {
	return []Rule{
		{"LEASE-1", "A message that is not settled comes back when its lease has ended, and not before.", leaseEnds},
		{"LEASE-2", "An extended message does not come back when its first lease would have ended.", extendHolds},
		{"LEASE-3", "An extension sets the lease from now; it does not add to it.", extendSets},
		{"LEASE-4", "A message can be acked by its receipt after its lease was extended.", ackAfterExtend},
		{"LEASE-5", "A retry without delay gives back a message whose lease was extended.", retryAfterExtend},
		{"LEASE-6", "A batch of extensions with a bad receipt extends the others.", badExtensionSparesTheRest},
		{"LEASE-7", "An extension by a bad receipt is reported at its index.", badExtensionIsReported},
		{"LEASE-8", "An extension of a message that was acked reports the lease as lost.", extendAfterAck},
		{"LEASE-9", "A batch as large as Capabilities.MaxExtend is extended whole.", fullExtension},
		{"LEASE-10", "A lease can be extended again and again.", extendRepeatedly},
		{"LEASE-11", "An extension by nearly the longest duration does not end the lease, on a queue that does not bound it.", longestExtension},
	}
}

func leaseEnds(c *check) {
	b := c.leasing(QueueOptions{Lease: c.brief()})
	b.send(text("x"))
	begin := b.now()
	first := b.receiveOne()
	second := b.returns(b.o.Lease)
	if waited := b.since(begin); waited < b.o.Lease {
		c.fatalf("the message came back after %v of a lease of %v", waited, b.o.Lease)
	}
	require.Equal(c, first.Message.ID, second.Message.ID)
}

func extendHolds(c *check) {
	b := c.leasing(QueueOptions{Lease: c.short()})
	b.send(text("held"))
	begin := b.now()
	d := b.receiveOne()
	b.extend(drivers.Extension{Receipt: d.Receipt, By: time.Minute})
	b.nothing(b.o.Lease-b.since(begin)+1500*time.Millisecond, "the lease was extended by a minute")
}

func extendSets(c *check) {
	b := c.leasing(QueueOptions{})
	b.send(text("x"))
	begin := b.now()
	d := b.receiveOne()
	b.extend(drivers.Extension{Receipt: d.Receipt, By: 2 * time.Second})
	b.returns(2 * time.Second) // the lease of ten minutes was cut to two seconds
	require.GreaterOrEqual(c, b.since(begin), 2*time.Second)
}

func ackAfterExtend(c *check) {
	b := c.leasing(QueueOptions{Lease: c.short()})
	b.send(text("x"))
	d := b.receiveOne()
	b.extend(drivers.Extension{Receipt: d.Receipt, By: c.short() + time.Second})
	b.settle(ack(d))
	b.gone(c.short()+time.Second, "the message was acked after its lease was extended")
}

func retryAfterExtend(c *check) {
	b := c.leasing(QueueOptions{})
	b.send(text("x"))
	d := b.receiveOne()
	b.extend(drivers.Extension{Receipt: d.Receipt, By: 5 * time.Minute})
	b.settle(release(d))
	b.receiveOne()
}

func badExtensionSparesTheRest(c *check) {
	b := c.leasing(QueueOptions{Lease: c.short()})
	b.sendN(2)
	ds := b.receive(2)
	errs := b.answers("extend", 3, b.src.Extend(c.ctx, []drivers.Extension{
		{Receipt: ds[0].Receipt, By: time.Minute}, {Receipt: noReceipt, By: time.Minute}, {Receipt: ds[1].Receipt, By: time.Minute},
	}))
	require.NoError(c, errs[0])
	require.NoError(c, errs[2])
	b.nothing(b.o.Lease+time.Second, "both leases were extended beside a bad receipt")
}

func badExtensionIsReported(c *check) {
	b := c.detecting()
	b.send(b.single("0"))
	d := b.receiveOne()
	errs := b.answers("extend", 2, b.src.Extend(c.ctx, []drivers.Extension{
		{Receipt: noReceipt, By: time.Minute}, {Receipt: d.Receipt, By: time.Minute},
	}))
	c.refused(errs[0], "an extension by a receipt that no one gave", drivers.LeaseLost, drivers.Invalid)
	require.NoError(c, errs[1])
}

func extendAfterAck(c *check) {
	b := c.detecting()
	b.send(b.single("0"))
	d := b.receiveOne()
	b.settle(ack(d))
	errs := b.answers("extend", 1, b.src.Extend(c.ctx, []drivers.Extension{{Receipt: d.Receipt, By: time.Minute}}))
	c.refused(errs[0], "an extension of an acked message", drivers.LeaseLost)
}

func fullExtension(c *check) {
	b := c.leasing(QueueOptions{})
	n := min(b.caps.MaxExtend, 100)
	b.sendN(n)
	ds := b.receive(n)
	es := make([]drivers.Extension, n)
	for i, d := range ds {
		es[i] = drivers.Extension{Receipt: d.Receipt, By: time.Second}
	}
	b.extend(es...)
	b.receiveWithin(b.src, n, time.Second+b.patience()) // each lease was cut from ten minutes to a second
}

func extendRepeatedly(c *check) {
	b := c.leasing(QueueOptions{})
	b.send(text("x"))
	d := b.receiveOne()
	// Together the pauses are longer than one extension; each leaves seconds to
	// spare.
	for range 4 {
		b.extend(drivers.Extension{Receipt: d.Receipt, By: 12 * time.Second})
		b.nothing(4*time.Second, "the lease was extended")
	}
	b.settle(ack(d))
	b.nothing(time.Second, "the message was acked while its extended lease lasted")
}

func longestExtension(c *check) {
	b := c.leasing(QueueOptions{})
	c.needs(b.caps.MaxExtension == drivers.Unlimited && b.caps.MaxLease == drivers.Unlimited, "the queue bounds its leases")
	for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 2} {
		b.send(text("x"))
		held := b.receiveOne()
		b.extend(drivers.Extension{Receipt: held.Receipt, By: d})
		b.nothing(500*time.Millisecond, "its lease was extended by "+d.String())
		b.settle(ack(held))
	}
}
