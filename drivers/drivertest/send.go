package drivertest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func sendRules() []Rule {
	return []Rule{
		{"SEND-1", "Send sets the ID of each message, and the message arrives with it.", sendSetsTheID},
		{"SEND-2", "A batch as large as Capabilities.MaxSend is sent whole, each message with an ID of its own.", sendFullBatch},
		{"SEND-3", "A batch with a bad message sends the others, and reports it at its own index.", sendBadEntry},
		{"SEND-4", "Send changes nothing of a message but its ID.", sendLeavesTheMessageAlone},
		{"SEND-5", "A send whose context has ended reports that context's error for each message.", sendAfterCancel},
		{"SEND-6", "A message's dedupe ID arrives with it.", dedupeIDArrives},
		{"SEND-7", "Sending nothing is not an error.", sendNothing},
		{"SEND-8", "A message of a group that fails is not overtaken by later ones of its batch: those fail as well.", sendKeepsGroupOrder},
		{"SEND-9", "The order within a batch is kept, in a group.", sendBatchInOrder},
		{"SEND-10", "A message that was received can be sent again.", sendAgain},
		{"SEND-11", "A batch over Capabilities.MaxBatchBytes whose messages are each small enough is sent, or refused as a whole or in part; nothing is lost unreported.", sendHeavyBatch},
	}
}

func sendSetsTheID(c *check) {
	b := c.queue(QueueOptions{})
	m := text("x")
	b.send(m)
	require.NotEmpty(c, m.ID)
	require.Equal(c, m.ID, b.receiveOne().Message.ID)
}

func sendFullBatch(c *check) {
	b := c.queue(QueueOptions{})
	n := min(b.sink.Capabilities().MaxSend, 100)
	ids := map[string]bool{}
	for _, m := range b.sendN(n) {
		ids[m.ID] = true
	}
	require.Len(c, ids, n, "IDs of the messages sent")
	for _, d := range b.receive(n) {
		require.True(c, ids[d.Message.ID], "message %s came, and Send told no such ID", name(d.Message))
	}
}

func sendBadEntry(c *check) {
	b := c.queue(QueueOptions{})
	caps := b.sink.Capabilities()
	c.needs(caps.MaxMessageBytes > 0, "no message is refused for its size")
	c.needs(caps.MaxSend > 2, "a batch has no room for it")
	bad := &handler.Message{Body: bytes.Repeat([]byte("x"), caps.MaxMessageBytes+1)}
	errs := b.answers("send", 3, b.sink.Send(c.ctx, messages(text("first"), bad, text("last"))))
	require.NoError(c, errs[0])
	c.refused(errs[1], "sending a message that is too large", drivers.Invalid)
	require.NoError(c, errs[2])
	require.ElementsMatch(c, []string{"first", "last"}, bodies(b.receive(2)))
	b.nothing(time.Second, "the message that is too large was refused")
}

func sendLeavesTheMessageAlone(c *check) {
	b := c.queue(QueueOptions{})
	m := &handler.Message{Body: []byte("body \x00\xff"), Attributes: map[string]string{"plain": "v", "ключ 🔑": ""}, Group: "g", DedupeID: "d"}
	want := *m
	want.Attributes = clone(m.Attributes)
	want.Body = bytes.Clone(m.Body)
	b.send(m)
	want.ID = m.ID
	require.Equal(c, want, *m)
}

func sendAfterCancel(c *check) {
	b := c.queue(QueueOptions{})
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	for _, err := range b.answers("send", 2, b.sink.Send(ctx, numbered(2))) {
		require.ErrorIs(c, err, context.Canceled)
	}
}

func dedupeIDArrives(c *check) {
	b := c.queue(QueueOptions{})
	m := text("x")
	m.DedupeID = "order-42"
	m.SetAttribute("k", "v")
	b.send(m)
	got := b.receiveOne().Message
	require.Equal(c, "order-42", got.DedupeID)
	require.Equal(c, map[string]string{"k": "v"}, got.Attributes)
}

func sendNothing(c *check) {
	b := c.queue(QueueOptions{})
	require.Empty(c, b.sink.Send(c.ctx, nil))
	require.Empty(c, b.sink.Send(c.ctx, []*handler.Message{}))
}

func sendKeepsGroupOrder(c *check) {
	b := c.ordered()
	caps := b.sink.Capabilities()
	c.needs(caps.MaxMessageBytes > 0, "no message is refused for its size")
	c.needs(caps.MaxSend > 3, "a batch has no room for it")
	in := func(group, body string) *handler.Message {
		return &handler.Message{Body: []byte(body), Group: group, DedupeID: body[:1]}
	}
	bad := in("g", string(bytes.Repeat([]byte("x"), caps.MaxMessageBytes+1)))
	errs := b.answers("send", 4, b.sink.Send(c.ctx, messages(in("g", "1"), bad, in("g", "3"), in("h", "4"))))
	require.NoError(c, errs[0])
	require.Error(c, errs[1])
	require.Error(c, errs[2], "a later message of the group was sent past one that failed")
	require.NoError(c, errs[3], "another group was held up")
	require.ElementsMatch(c, []string{"1", "4"}, b.inOrder(2))
}

func sendBatchInOrder(c *check) {
	b := c.ordered()
	n := min(b.sink.Capabilities().MaxSend, 10)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	b.sendGroup("g", want...)
	require.Equal(c, want, b.inOrder(n))
}

func sendAgain(c *check) {
	b := c.queue(QueueOptions{})
	m := attributed("k", "v")
	m.Body = []byte("\x00again")
	b.send(m)
	first := b.receiveOne()
	b.settle(ack(first))
	b.send(first.Message)
	second := b.receiveOne().Message
	require.Equal(c, "\x00again", string(second.Body))
	require.Equal(c, map[string]string{"k": "v"}, second.Attributes)
}

func sendHeavyBatch(c *check) {
	b := c.queue(QueueOptions{})
	caps := b.sink.Capabilities()
	c.needs(caps.MaxBatchBytes > 0 && caps.MaxMessageBytes > 0, "there is no limit to a batch's size")
	size := min(caps.MaxMessageBytes, 1<<20) * 3 / 4
	n := caps.MaxBatchBytes/size + 1
	c.needs(n <= caps.MaxSend && n*size <= 16<<20, "a batch of the largest messages is too large to try")
	ms := make([]*handler.Message, n)
	for i := range ms {
		ms[i] = &handler.Message{Body: bytes.Repeat([]byte{'a' + byte(i)}, size)}
	}
	sent := 0
	for _, err := range b.answers("send", n, b.sink.Send(c.ctx, ms)) {
		if err == nil {
			sent++
			continue
		}
		c.refused(err, "sending a batch that is too large", drivers.Invalid)
	}
	b.receive(sent)
	b.nothing(time.Second, "the rest was refused")
}
