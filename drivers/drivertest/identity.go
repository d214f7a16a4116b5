package drivertest

import (
	"cmp"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

func identityRules() []Rule {
	return []Rule{
		{"ID-1", "A message's identity, which is its dedupe ID or else its ID, is the same in each delivery.", identityStays},
		{"ID-2", "Two messages that were sent without a dedupe ID have two identities, also if their bodies are equal and duplicates are dropped.", identitiesDiffer},
		{"ID-3", "A message keeps its identity in the dead-letter queue if it was delivered too often.", identityOfTheExhausted},
		{"ID-4", "A message keeps its identity in the dead-letter queue if it was rejected.", identityOfTheRejected},
		{"ID-5", "A message keeps its identity through a native redrive.", identityAfterRedrive},
		{"ID-6", "A message keeps its identity if its letter is sent back by the redrive sink, and is delivered though its dedupe ID was seen before.", identityAfterSendingBack},
		{"ID-7", "A message with ten attributes keeps its identity and its attributes in the dead-letter queue.", identityBesideAttributes},
		{"ID-8", "In the dead-letter queue attempts are counted from the message's arrival there.", attemptsInDeadLetters},
		{"ID-9", "A batch with several messages of several groups keeps each group's order, whatever the order of the groups.", mixedGroupsInOrder},
	}
}

// identityOf returns the identity of a message: the idempotency middleware's
// default key.
func identityOf(m *handler.Message) string { return cmp.Or(m.DedupeID, m.ID) }

func identityStays(c *check) {
	b := c.queue(QueueOptions{})
	b.send(b.strangers()...)
	ds := b.receive(2)
	want := b.identities(ds)
	b.settle(each(ds, release)...)
	require.Equal(c, want, b.identities(b.receive(2)))
}

func identitiesDiffer(c *check) {
	for _, o := range []QueueOptions{{}, {Ordered: true}, {Dedupe: true}} {
		b := c.queue(o)
		same := func() *handler.Message { return &handler.Message{Body: []byte("same"), Group: "g"} }
		b.send(same(), same())
		b.send(same())
		ids := map[string]bool{}
		for begin := b.now(); len(ids) < 3; {
			if b.since(begin) > b.patience() {
				b.fatalf("three messages were sent, and %d identities came: %v", len(ids), ids)
			}
			for _, d := range b.poll(b.src, 3, time.Second) {
				ids[identityOf(d.Message)] = true
				b.settle(ack(d))
			}
		}
	}
}

func identityOfTheExhausted(c *check) {
	for _, ordered := range []bool{false, true} {
		for i := range 2 {
			b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts(), Ordered: ordered})
			m := b.strangers()[i]
			b.send(m)
			want := ""
			b.exhaust(func(d drivers.Delivery) {
				want = identityOf(d.Message)
				b.releaseIt(d)
			})
			require.Equal(c, want, identityOf(b.letters().receiveOne().Message), "%s", m.Body)
		}
	}
}

func identityOfTheRejected(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	b.send(b.strangers()...)
	ds := b.receive(2)
	want := b.identities(ds)
	for _, d := range ds {
		b.settle(reject(d, "poison"))
	}
	require.Equal(c, want, b.identities(b.letters().receive(2)))
}

func identityAfterRedrive(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	r := b.redriver()
	ms := b.strangers()
	want := map[string]string{}
	// One is rejected, and the other delivered too often.
	b.send(ms[0])
	d := b.receiveOne()
	want[string(d.Message.Body)] = identityOf(d.Message)
	b.settle(reject(d, "poison"))
	b.send(ms[1])
	b.exhaust(func(d drivers.Delivery) {
		want[string(d.Message.Body)] = identityOf(d.Message)
		b.releaseIt(d)
	})
	letters := b.letters()
	letters.settle(each(letters.receive(2), release)...)
	_, err := r.StartRedrive(c.ctx, 0)
	require.NoError(c, err)
	require.Equal(c, want, b.identities(b.receive(2)))
}

func identityAfterSendingBack(c *check) {
	for _, o := range []QueueOptions{{}, {Ordered: true}, {Dedupe: true}} {
		b := c.deadLetterQueue(o)
		opener, ok := b.src.(deadletter.Opener)
		c.needs(ok, "the source does not open its dead letters")
		ms := b.strangers()
		if o.Dedupe {
			ms[0].Group, ms[1].Group = "g", "h"
		}
		b.send(ms...)
		ds := b.receive(2)
		want := b.identities(ds)
		for _, d := range ds {
			b.settle(reject(d, "poison"))
		}
		letters, err := opener.OpenDeadLetters(c.ctx)
		require.NoError(c, err)
		c.atEnd(func() { b.closed("dead letters", letters.Close()) })
		back, err := opener.OpenRedrive(c.ctx)
		require.NoError(c, err)
		c.atEnd(func() { b.closed("redrive sink", back.Close()) })
		for _, d := range b.receiveWithin(letters, 2, b.patience()) {
			m := *d.Message
			m.DedupeID = identityOf(d.Message)
			require.NoError(c, b.each("send", 1, back.Send(c.ctx, messages(&m))))
			require.NoError(c, b.each("settle", 1, letters.Settle(c.ctx, []drivers.Settlement{ack(d)})))
		}
		require.Equal(c, want, b.identities(b.receive(2)))
	}
}

func identityBesideAttributes(c *check) {
	b := c.deadLetterQueue(QueueOptions{})
	letters := b.letters()
	for _, dedupe := range []string{"", "order-42"} {
		m := manyAttributes(10)
		m.DedupeID = dedupe
		b.send(m)
		d := b.receiveOne()
		require.Equal(c, m.Attributes, d.Message.Attributes)
		want := identityOf(d.Message)
		b.settle(reject(d, "poison"))
		letter := letters.receiveOne()
		require.Equal(c, want, identityOf(letter.Message))
		for k, v := range m.Attributes {
			require.Equal(c, v, letter.Message.Attributes[k], "attribute %q", k)
		}
		letters.settle(ack(letter))
	}
}

func attemptsInDeadLetters(c *check) {
	b := c.deadLetterQueue(QueueOptions{MaxAttempts: c.attempts()})
	letters := b.letters()
	c.needs(letters.src.Capabilities().AttemptKnown, "the provider does not count attempts in a dead-letter queue")
	b.send(text("poison"))
	b.exhaust(b.releaseIt)
	for want := 1; want <= 3; want++ {
		d := letters.receiveOne()
		require.Equal(c, want, d.Message.Attempt)
		letters.settle(release(d))
	}
}

func mixedGroupsInOrder(c *check) {
	b := c.ordered()
	n := min(b.sink.Capabilities().MaxSend, 10)
	var ms []*handler.Message
	want := map[string][]string{}
	for i := range n {
		g := "abaacb"[i%6 : i%6+1]
		body := fmt.Sprint(g, i)
		ms = append(ms, &handler.Message{Body: []byte(body), Group: g})
		want[g] = append(want[g], body)
	}
	b.send(ms...)
	for _, m := range ms {
		require.NotEmpty(c, m.ID)
	}
	got := map[string][]string{}
	for _, body := range b.inOrder(n) {
		got[body[:1]] = append(got[body[:1]], body)
	}
	require.Equal(c, want, got)
}
