package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func closeRules() []Rule {
	return []Rule{
		{"CLOSE-1", "After Close, Receive, Settle and Extend return an error whose code is Closed.", closedSource},
		{"CLOSE-2", "After Close, Send returns an error whose code is Closed, for each message.", closedSink},
		{"CLOSE-3", "A second Close returns nil.", closeTwice},
		{"CLOSE-4", "Closing a source settles nothing: what it had in flight comes back.", closeSettlesNothing},
		{"CLOSE-5", "Closing one source or sink leaves the others of its queue open.", closeIsItsOwn},
	}
}

func closedSource(c *check) {
	b := c.queue(QueueOptions{})
	b.sendN(1)
	src := b.source()
	d := b.receiveWithin(src, 1, b.patience())[0]
	require.NoError(c, src.Close())
	ds, err := src.Receive(c.ctx, 1, 0)
	c.refused(err, "Receive after Close", drivers.Closed)
	require.Empty(c, ds)
	for _, err := range b.answers("settle", 1, src.Settle(c.ctx, []drivers.Settlement{ack(d)})) {
		c.refused(err, "Settle after Close", drivers.Closed)
	}
	for _, err := range b.answers("extend", 1, src.Extend(c.ctx, []drivers.Extension{{Receipt: d.Receipt, By: time.Minute}})) {
		c.refused(err, "Extend after Close", drivers.Closed)
	}
}

func closedSink(c *check) {
	b := c.queue(QueueOptions{})
	sink := b.openSink()
	require.NoError(c, sink.Close())
	for _, err := range b.answers("send", 2, sink.Send(c.ctx, numbered(2))) {
		c.refused(err, "Send after Close", drivers.Closed)
	}
	b.nothing(time.Second, "the sink was closed")
}

func closeTwice(c *check) {
	b := c.queue(QueueOptions{})
	require.NoError(c, b.src.Close())
	require.NoError(c, b.src.Close())
	require.NoError(c, b.sink.Close())
	require.NoError(c, b.sink.Close())
}

func closeSettlesNothing(c *check) {
	b := c.queue(QueueOptions{Lease: c.brief()})
	b.send(text("in flight"))
	src := b.source()
	b.receiveWithin(src, 1, b.patience())
	require.NoError(c, src.Close())
	require.Equal(c, "in flight", string(b.returns(b.o.Lease).Message.Body))
}

func closeIsItsOwn(c *check) {
	b := c.queue(QueueOptions{})
	require.NoError(c, b.source().Close())
	require.NoError(c, b.openSink().Close())
	b.send(text("open"))
	d := b.receiveOne()
	other := b.source()
	require.NoError(c, b.src.Close())
	b.send(text("still"))
	require.Equal(c, "still", string(b.receiveWithin(other, 1, b.patience())[0].Message.Body))
	require.NotEmpty(c, d.Receipt)
}
