package drivertest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
)

func redriveRules() []Rule {
	return []Rule{
		{"REDR-1", "A native redrive brings every dead letter back to its queue, and its task says that it is done.", redriveMovesAll},
		{"REDR-2", "A redriven letter is attempted from the beginning, where attempts are counted.", redriveResetsAttempts},
		{"REDR-3", "Letters can be received from the dead-letter queue and sent back one by one.", redriveOneByOne},
		{"REDR-4", "Opening the dead letters of a queue that has none is an error that says so.", noLettersToOpen},
	}
}

func redriveMovesAll(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	r := b.redriver()
	b.rejected(5)
	_, err := r.StartRedrive(c.ctx, 0)
	require.NoError(c, err)
	require.Len(c, byBody(b.receive(5)), 5)
	var last deadletter.Task
	for begin := b.now(); b.since(begin) < b.patience(); b.pass(200 * time.Millisecond) {
		tasks, err := r.Redrives(c.ctx)
		require.NoError(c, err)
		require.NotEmpty(c, tasks, "the task that was started is not listed")
		if last = tasks[0]; last.Status == deadletter.Completed {
			break
		}
	}
	require.Equal(c, deadletter.Completed, last.Status)
	require.EqualValues(c, 5, last.Moved)
	b.letters().nothing(time.Second, "every letter was redriven")
}

func redriveResetsAttempts(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	r := b.redriver()
	c.needs(b.caps.AttemptKnown, "the provider does not count attempts")
	b.send(text("poison"))
	b.exhaust(b.releaseIt)
	require.Equal(c, []string{"poison"}, bodies(b.peekLetters()))
	_, err := r.StartRedrive(c.ctx, 0)
	require.NoError(c, err)
	require.Equal(c, 1, b.receiveOne().Message.Attempt)
}

func redriveOneByOne(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	opener, ok := b.src.(deadletter.Opener)
	c.needs(ok, "the source does not open its dead letters")
	b.rejected(3)

	letters, err := opener.OpenDeadLetters(c.ctx)
	require.NoError(c, err)
	c.atEnd(func() { b.closed("dead letters", letters.Close()) })
	back, err := opener.OpenRedrive(c.ctx)
	require.NoError(c, err)
	c.atEnd(func() { b.closed("redrive sink", back.Close()) })

	ds := b.receiveWithin(letters, 3, b.patience())
	slices.SortFunc(ds, func(x, y drivers.Delivery) int { return slices.Compare(x.Message.Body, y.Message.Body) })
	require.Equal(c, []string{"0", "1", "2"}, bodies(ds))
	redriven := ds[1]
	require.NoError(c, b.each("send", 1, back.Send(c.ctx, messages(redriven.Message))))
	require.NoError(c, b.each("settle", 3, letters.Settle(c.ctx, []drivers.Settlement{release(ds[0]), ack(redriven), release(ds[2])})))

	require.Equal(c, []string{"1"}, bodies(b.receive(1)))
	left := byBody(b.receiveWithin(letters, 2, b.patience()))
	require.Contains(c, left, "0")
	require.Contains(c, left, "2")
}

func noLettersToOpen(c *check) {
	b := c.queue(QueueOptions{})
	opener, ok := b.src.(deadletter.Opener)
	c.needs(ok, "the source does not open its dead letters")
	c.needs(!b.caps.DeadLetter, "the queue always has a dead-letter queue")
	_, err := opener.OpenDeadLetters(c.ctx)
	c.refused(err, "opening dead letters where there are none", drivers.Unsupported, drivers.NotFound)
}
