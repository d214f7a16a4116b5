package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func groupRules() []Rule {
	return []Rule{
		{"GRP-1", "Messages of one group are delivered in the order they were sent.", groupKeepsOrder},
		{"GRP-2", "A message's group arrives with it, on queues that keep no order as well.", groupArrives},
		{"GRP-3", "While a message of a group is in flight, no later one of it is delivered by another receive.", groupBlocks},
		{"GRP-4", "A group that is blocked does not block other groups.", groupsAreIndependent},
		{"GRP-5", "A message that is given back is delivered before the later ones of its group.", groupKeepsOrderUnderFailure},
		{"GRP-6", "A message that waits for its retry holds back the later ones of its group.", groupWaitsForTheRetry},
		{"GRP-7", "A batch of a group that is given back unhandled comes again in its order.", groupBatchKeepsOrder},
		{"GRP-8", "A group goes on when the message that blocked it is rejected.", groupGoesOnAfterReject},
		{"GRP-9", "A group goes on, in order, when the lease of the message that blocked it has ended.", groupGoesOnAfterExpiry},
		{"GRP-10", "Messages without a group are delivered from an ordered queue, or refused when they are sent.", groupless},
	}
}

func groupKeepsOrder(c *check) {
	b := c.ordered()
	want := []string{"a", "b", "c", "d", "e", "f", "g"}
	b.sendGroup("g", want...)
	require.Equal(c, want, b.inOrder(len(want)))
}

func groupArrives(c *check) {
	b := c.queue(QueueOptions{})
	m := text("x")
	m.Group = "tenant-7"
	b.send(m)
	require.Equal(c, "tenant-7", b.receiveOne().Message.Group)
}

func groupBlocks(c *check) {
	b := c.ordered()
	b.sendGroup("g", "a", "b", "c")
	head := b.receiveOne()
	require.Equal(c, "a", string(head.Message.Body))
	b.nothing(1500*time.Millisecond, "the group's head is in flight")
	b.settle(ack(head))
	require.Equal(c, []string{"b", "c"}, b.inOrder(2))
}

func groupsAreIndependent(c *check) {
	b := c.ordered()
	b.sendGroup("one", "1a", "1b")
	head := b.receiveOne()
	require.Equal(c, "1a", string(head.Message.Body))
	b.sendGroup("two", "2a")
	require.Equal(c, "2a", string(b.receiveOne().Message.Body), "a blocked group holds up another")
}

func groupKeepsOrderUnderFailure(c *check) {
	b := c.ordered()
	b.sendGroup("g", "a", "b", "c")
	for range 3 {
		d := b.receiveOne()
		require.Equal(c, "a", string(d.Message.Body), "a later message overtook one that was given back")
		b.settle(release(d))
	}
	require.Equal(c, []string{"a", "b", "c"}, b.inOrder(3))
}

func groupWaitsForTheRetry(c *check) {
	b := c.ordered()
	c.needs(b.caps.MaxDelay > 0, "a retry cannot be delayed")
	b.sendGroup("g", "a", "b")
	d := b.receiveOne()
	require.Equal(c, "a", string(d.Message.Body))
	begin := b.now()
	b.settle(retry(d, 3*time.Second))
	require.Equal(c, "a", string(b.returns(3*time.Second).Message.Body), "a later message overtook one that waits for its retry")
	require.GreaterOrEqual(c, b.since(begin), 3*time.Second)
}

func groupBatchKeepsOrder(c *check) {
	b := c.ordered()
	want := []string{"a", "b", "c", "d"}
	b.sendGroup("g", want...)
	var ds []drivers.Delivery
	for begin := b.now(); len(ds) == 0 && b.since(begin) < b.patience(); {
		ds = b.poll(b.src, 3, time.Second) // as many of the group as the provider gives together
	}
	require.NotEmpty(c, ds)
	require.Equal(c, want[:len(ds)], bodies(ds))
	b.settle(each(ds, release)...)
	require.Equal(c, want, b.inOrder(len(want)))
}

func groupGoesOnAfterReject(c *check) {
	b := c.deadLetterQueue(QueueOptions{Ordered: true})
	b.sendGroup("g", "poison", "b", "c")
	d := b.receiveOne()
	require.Equal(c, "poison", string(d.Message.Body))
	b.settle(reject(d, "poison"))
	require.Equal(c, []string{"b", "c"}, b.inOrder(2))
	letter := b.letters().receiveOne().Message
	require.Equal(c, "poison", string(letter.Body))
	require.Equal(c, "g", letter.Group, "the letter keeps its group")
}

func groupGoesOnAfterExpiry(c *check) {
	b := c.ordered()
	b.sendGroup("g", "a", "b")
	d := b.receiveOne()
	require.Equal(c, "a", string(d.Message.Body))
	b.expire(d)
	require.Equal(c, []string{"a", "b"}, b.inOrder(2))
}

func groupless(c *check) {
	b := c.ordered()
	m := text("alone")
	m.DedupeID = "alone"
	errs := b.answers("send", 1, b.sink.Send(c.ctx, messages(m)))
	if errs[0] != nil {
		c.refused(errs[0], "sending without a group", drivers.Invalid)
		return
	}
	require.Equal(c, "alone", string(b.receiveOne().Message.Body))
}
