package drivertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func dedupeRules() []Rule {
	return []Rule{
		{"DEDUP-1", "A second message with a dedupe ID is taken without error and not delivered.", duplicateIsDropped},
		{"DEDUP-2", "Messages with different dedupe IDs are both delivered, though their bodies are equal.", differentIDsAreKept},
		{"DEDUP-3", "A dedupe ID is remembered after its message was acked.", duplicateAfterAck},
		{"DEDUP-4", "A queue that does not drop duplicates delivers both messages of a dedupe ID.", duplicatesAreKept},
	}
}

func identified(id, body string) *handler.Message {
	return &handler.Message{Body: []byte(body), Group: "g", DedupeID: id}
}

func duplicateIsDropped(c *check) {
	b := c.queue(QueueOptions{Dedupe: true})
	b.send(identified("one", "first"))
	b.send(identified("one", "second"))
	require.Equal(c, []string{"first"}, b.inOrder(1))
	b.nothing(time.Second, "the second message is a duplicate")
}

func differentIDsAreKept(c *check) {
	b := c.queue(QueueOptions{Dedupe: true})
	b.send(identified("one", "same"), identified("two", "same"))
	require.Equal(c, []string{"same", "same"}, b.inOrder(2))
}

func duplicateAfterAck(c *check) {
	b := c.queue(QueueOptions{Dedupe: true})
	b.send(identified("one", "first"))
	require.Equal(c, []string{"first"}, b.inOrder(1))
	b.send(identified("one", "second"))
	b.nothing(1500*time.Millisecond, "the dedupe ID was seen before")
}

func duplicatesAreKept(c *check) {
	b := c.queue(QueueOptions{})
	b.send(identified("one", "first"))
	b.send(identified("one", "second"))
	require.ElementsMatch(c, []string{"first", "second"}, b.inOrder(2))
}
