package drivertest

import (
	"errors"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func errorRules() []Rule {
	return []Rule{
		{"ERR-1", "A source on a queue that does not exist fails as not found, when it is opened or at the first receive, with an error that names the queue and the operation.", missingSource},
		{"ERR-2", "A sink on a queue that does not exist fails as not found, when it is opened or at the first send, with an error that names the queue and the operation.", missingSink},
		{"ERR-3", "A source whose queue was removed reports it as not found.", removedQueue},
	}
}

func missingSource(c *check) {
	q := c.missing()
	src, err := q.OpenSource(c.ctx)
	if err == nil {
		c.atEnd(func() { _ = src.Close() })
		_, err = src.Receive(c.ctx, 1, 0)
	}
	c.clear(err)
}

func missingSink(c *check) {
	q := c.missing()
	sink, err := q.OpenSink(c.ctx)
	if err == nil {
		c.atEnd(func() { _ = sink.Close() })
		err = errors.Join(sink.Send(c.ctx, numbered(1))...)
	}
	c.clear(err)
}

func removedQueue(c *check) {
	b := c.queue(QueueOptions{})
	c.needs(b.q.Remove != nil, "the harness cannot remove a queue")
	b.sendN(1)
	d := b.receiveOne()
	require.NoError(c, b.q.Remove(c.ctx))
	_, err := b.src.Receive(c.ctx, 1, 0)
	c.clear(err)
	for _, err := range b.answers("send", 1, b.sink.Send(c.ctx, numbered(1))) {
		c.clear(err)
	}
	for _, err := range b.answers("settle", 1, b.src.Settle(c.ctx, []drivers.Settlement{ack(d)})) {
		c.clear(err)
	}
}
