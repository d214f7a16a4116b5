package drivertest

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func rejectRules() []Rule {
	return []Rule{
		{"REJ-1", "A rejected message is in the dead-letter queue immediately, and not in the queue any more.", rejectMoves},
		{"REJ-2", "A rejected message keeps its body, byte by byte, and its own attributes.", rejectIsFaithful},
		{"REJ-3", "A rejection without a failure moves the message as well.", rejectWithoutFailure},
		{"REJ-4", "A rejection on a queue without dead-letter queue reports that it is unsupported, and the message is not lost.", rejectWithNowhereToGo},
		{"REJ-5", "A batch of rejections moves every message.", rejectBatch},
		{"REJ-6", "A rejected message says why, in the failure attributes: reason, attempt, first and last failure, queue and consumer.", rejectTellsWhy},
		{"REJ-7", "A reason that is too long is cut, between characters, and one that is not UTF-8 is mended.", rejectCutsTheReason},
		{"REJ-8", "A rejected message that has ten attributes keeps them all, and says why besides.", rejectMakesRoom},
		{"REJ-9", "A message that was rejected before says why it was rejected last.", rejectAgain},
	}
}

func rejectMoves(c *check) {
	b := c.deadLetterQueue(QueueOptions{Lease: c.short()})
	b.send(text("poison"))
	b.settle(reject(b.receiveOne(), "poison"))
	require.Equal(c, []string{"poison"}, bodies(b.letters().receive(1)))
	b.gone(b.o.Lease, "the message was rejected")
}

func rejectIsFaithful(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	m := attributed("k", "v", "ключ 🔑", "значение\n", "empty", "")
	m.Body = []byte("binary \x00\xff\xfe")
	b.send(m)
	b.settle(reject(b.receiveOne(), "poison"))
	letter := b.letters().receiveOne().Message
	require.Equal(c, m.Body, letter.Body)
	for k, v := range m.Attributes {
		got, ok := letter.Attributes[k]
		require.True(c, ok, "the letter has no attribute %q", k)
		require.Equal(c, v, got, "attribute %q", k)
	}
}

func rejectWithoutFailure(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	b.send(text("poison"))
	d := b.receiveOne()
	b.settle(drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter})
	require.Equal(c, []string{"poison"}, bodies(b.letters().receive(1)))
}

func rejectWithNowhereToGo(c *check) {
	b := c.queue(QueueOptions{})
	c.needs(!b.caps.DeadLetter, "the queue always has a dead-letter queue")
	b.send(text("poison"))
	d := b.receiveOne()
	errs := b.answers("settle", 1, b.src.Settle(c.ctx, []drivers.Settlement{reject(d, "poison")}))
	c.refused(errs[0], "a rejection where no dead-letter queue is", drivers.Unsupported)
	b.settle(release(d)) // still this delivery's: the rejection has changed nothing
	require.Equal(c, "poison", string(b.receiveOne().Message.Body))
}

func rejectBatch(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	n := min(b.caps.MaxSettle, 25)
	b.sendN(n)
	ds := b.receive(n)
	b.settle(each(ds, func(d drivers.Delivery) drivers.Settlement { return reject(d, "poison") })...)
	require.Len(c, byBody(b.letters().receive(n)), n)
	b.nothing(time.Second, "every message was rejected")
}

func rejectTellsWhy(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	b.send(text("poison"))
	b.settle(release(b.receiveOne()))
	d := b.receiveOne()
	s := reject(d, "no such order: 42 \U0001F4A5")
	b.settle(s)
	got := b.failure(b.letters().receiveOne().Message)
	require.Equal(c, s.Failure.Reason, got.Reason)
	require.Equal(c, s.Failure.Consumer, got.Consumer)
	require.Equal(c, d.Message.Attempt, got.Attempt)
	require.Equal(c, b.caps.Queue, got.Queue)
	require.WithinDuration(c, s.Failure.First, got.First, time.Second)
	require.WithinDuration(c, s.Failure.Last, got.Last, time.Second)
}

func rejectCutsTheReason(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	b.sendN(2)
	ds := byBody(b.receive(2))
	long := strings.Repeat("\u20ac", drivers.MaxReason) // three bytes each
	b.settle(reject(ds["0"], long), reject(ds["1"], "broken \xff\x00 text"))
	letters := byBody(b.letters().receive(2))

	cut := b.failure(letters["0"].Message).Reason
	require.NotEmpty(c, cut)
	require.LessOrEqual(c, len(cut), drivers.MaxReason)
	require.True(c, utf8.ValidString(cut), "the reason was cut within a character")
	require.True(c, strings.HasPrefix(long, cut))
	require.Contains(c, b.failure(letters["1"].Message).Reason, "broken ")
}

func rejectMakesRoom(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	m := manyAttributes(10)
	m.Body = []byte("binary \x00\xff")
	b.send(m)
	b.settle(reject(b.receiveOne(), "poison"))
	letter := b.letters().receiveOne().Message
	require.Equal(c, m.Body, letter.Body)
	for k, v := range m.Attributes {
		require.Equal(c, v, letter.Attributes[k], "attribute %q", k)
	}
	require.Equal(c, "poison", b.failure(letter).Reason)
}

func rejectAgain(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	m := attributed("k", "v")
	m.SetAttribute(drivers.AttributeDeadLetterReason, "the first time")
	b.send(m)
	b.settle(reject(b.receiveOne(), "the second time"))
	letter := b.letters().receiveOne().Message
	require.Equal(c, "the second time", b.failure(letter).Reason)
	require.Equal(c, "v", letter.Attributes["k"])
}
