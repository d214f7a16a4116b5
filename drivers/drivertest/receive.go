package drivertest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func receiveRules() []Rule {
	return []Rule{
		{"RECV-1", "A message that was sent is received, with its body, an ID and a receipt.", receiveDelivers},
		{"RECV-2", "A receive that does not wait returns nothing, and no error, from an empty queue.", receiveOfNothing},
		{"RECV-3", "A receive that waits on an empty queue waits for the time that it was given, and then returns nothing and no error.", receiveWaits},
		{"RECV-4", "A receive that waits returns as soon as a message is sent.", receiveWakes},
		{"RECV-5", "A receive returns no more messages than it was asked for.", receiveKeepsToMax},
		{"RECV-6", "A receive that waits returns its context's own error promptly when the context is canceled.", receiveIsCanceled},
		{"RECV-7", "A receive whose context has ended returns that context's error and no messages.", receiveAfterCancel},
		{"RECV-8", "A receive returns its context's own error promptly when the context's deadline passes.", receiveIsTimedOut},
		{"RECV-9", "Messages in flight have receipts of their own.", receiptsDiffer},
		{"RECV-10", "A delivery's deadline lies ahead, and no later than the queue's lease from now.", deadlineIsTheLeases},
		{"RECV-11", "A message has the time at which the provider took it.", enqueueTimeIsKnown},
		{"RECV-12", "A message in flight is not delivered a second time while its lease lasts.", inFlightIsInvisible},
		{"RECV-13", "Every message is received, however many there are.", nothingIsMissed},
		{"RECV-14", "The receiver owns what it received: changing it does not change the queue's copy.", receiverOwnsTheMessage},
		{"RECV-15", "A received message has no delay: that is for sending.", receivedHasNoDelay},
		{"RECV-16", "A delivery's deadline has a monotonic part: a step of the wall clock does not move it.", deadlineIsMonotonic},
	}
}

func receiveDelivers(c *check) {
	b := c.queue(QueueOptions{})
	b.send(text("hello"))
	d := b.receiveOne()
	require.Equal(c, "hello", string(d.Message.Body))
	require.NotEmpty(c, d.Message.ID)
}

func receiveOfNothing(c *check) {
	b := c.queue(QueueOptions{})
	require.Empty(c, b.poll(b.src, 1, 0))
}

func receiveWaits(c *check) {
	b := c.queue(QueueOptions{})
	const wait = 2 * time.Second
	begin := b.now()
	require.Empty(c, b.poll(b.src, 1, wait))
	if waited := b.since(begin); waited < wait*9/10 {
		c.fatalf("the receive returned nothing after %v; told to wait %v, it makes its caller ask again at once, for ever", waited, wait)
	}
}

func receiveWakes(c *check) {
	b := c.queue(QueueOptions{})
	b.poll(b.src, 1, 0)
	out := b.receiving(c.ctx, b.src, 1, drivers.MaxWait)
	b.mustStillWait(out)
	begin := time.Now()
	b.send(text("wake up"))
	select {
	case r := <-out:
		require.NoError(c, r.err)
		require.Len(c, r.ds, 1, "the receive ended without the message that was sent meanwhile")
	case <-time.After(drivers.MaxWait / 2):
		c.fatalf("a receive that waits did not return within %v of a message being sent", time.Since(begin))
	}
}

func receiveKeepsToMax(c *check) {
	b := c.queue(QueueOptions{})
	b.sendN(7)
	most := min(2, b.caps.MaxReceive)
	got := 0
	for begin := b.now(); got < 7 && b.since(begin) < b.patience(); {
		got += len(b.poll(b.src, most, time.Second)) // poll checks the number
	}
	require.Equal(c, 7, got)
}

func receiveIsCanceled(c *check) {
	b := c.queue(QueueOptions{})
	ctx, cancel := context.WithCancel(c.ctx)
	out := b.receiving(ctx, b.src, 1, drivers.MaxWait)
	b.mustStillWait(out)
	cancel()
	b.mustEndWith(out, context.Canceled)
}

func receiveIsTimedOut(c *check) {
	b := c.queue(QueueOptions{})
	ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
	defer cancel()
	b.mustEndWith(b.receiving(ctx, b.src, 1, drivers.MaxWait), context.DeadlineExceeded)
}

func receiveAfterCancel(c *check) {
	b := c.queue(QueueOptions{})
	b.send(text("stays"))
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	b.mustEndWith(b.receiving(ctx, b.src, 1, time.Second), context.Canceled)
	require.Equal(c, "stays", string(b.receiveOne().Message.Body))
}

func receiptsDiffer(c *check) {
	b := c.queue(QueueOptions{})
	b.sendN(5)
	seen := map[string]bool{}
	for _, d := range b.receive(5) {
		require.False(c, seen[d.Receipt], "two deliveries have the receipt %q", d.Receipt)
		seen[d.Receipt] = true
	}
}

func deadlineIsTheLeases(c *check) {
	b := c.leasing(QueueOptions{Lease: time.Minute})
	c.needs(b.q.Advance == nil, "deadlines go by the machine's clock, and the queue has another")
	b.send(text("x"))
	begin := time.Now()
	d := b.receiveOne()
	now := time.Now()
	require.False(c, d.Deadline.After(now.Add(b.o.Lease)), "the deadline %v is later than the provider's", d.Deadline)
	// A receive that waited may count from before it began to wait.
	require.True(c, d.Deadline.After(begin.Add(b.o.Lease-drivers.MaxWait)), "the deadline %v is earlier than the lease allows", d.Deadline)
}

func deadlineIsMonotonic(c *check) {
	b := c.leasing(QueueOptions{})
	b.send(text("x"))
	d := b.receiveOne()
	c.needs(!d.Deadline.IsZero(), "the deadline is not known")
	require.NotEqual(c, d.Deadline.Round(0), d.Deadline, "the deadline is by the wall clock")
}

func enqueueTimeIsKnown(c *check) {
	b := c.queue(QueueOptions{})
	begin := b.now()
	b.send(text("x"))
	at := b.receiveOne().Message.EnqueuedAt
	require.False(c, at.IsZero(), "EnqueuedAt is zero")
	if b.q.Advance == nil {
		require.WithinDuration(c, begin, at, 5*time.Minute)
	}
}

func inFlightIsInvisible(c *check) {
	b := c.queue(QueueOptions{})
	b.send(text("once"))
	b.receiveOne()
	b.nothing(1500*time.Millisecond, "the message is in flight and its lease lasts")
}

func nothingIsMissed(c *check) {
	b := c.queue(QueueOptions{})
	const n = 60
	b.sendN(n)
	got := byBody(b.receive(n))
	require.Len(c, got, n, "messages that were sent have not come, others twice")
}

func receiverOwnsTheMessage(c *check) {
	b := c.queue(QueueOptions{})
	m := text("original")
	m.SetAttribute("k", "original")
	b.send(m)
	d := b.receiveOne()
	copy(d.Message.Body, "scribble")
	d.Message.Attributes["k"] = "scribble"
	d.Message.SetAttribute("new", "scribble")
	b.settle(drivers.Settlement{Receipt: d.Receipt, Action: handler.ActionRetry, Delayed: true})
	again := b.receiveOne().Message
	require.Equal(c, "original", string(again.Body))
	require.Equal(c, map[string]string{"k": "original"}, again.Attributes)
}

func receivedHasNoDelay(c *check) {
	b := c.queue(QueueOptions{})
	b.needs(b.sink.Capabilities().MaxSendDelay > 0, "messages cannot be sent with a delay")
	m := text("x")
	m.Delay = time.Second
	b.send(m)
	require.Zero(c, b.returns(m.Delay).Message.Delay)
}
