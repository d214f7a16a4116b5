package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func identified(group, id, body string) queue.Message {
	return queue.Message{Group: group, DedupeID: id, Body: []byte(body)}
}

func TestDuplicateIsTakenForTheFirst(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{DedupeWindow: time.Minute})
		sent := b.send("q", identified("", "1", "first"), identified("", "1", "in the batch"), identified("", "2", "other"), identified("", "", "none"), identified("", "", "none"))
		require.Equal(b, sent[0].ID, sent[1].ID)
		require.Equal(b, sent[0].Sequence, sent[1].Sequence)
		require.NotEqual(b, sent[0].ID, sent[2].ID)
		rs := b.receive("q", 10)
		require.Equal(b, []string{"first", "other", "none", "none"}, bodies(rs))
		b.delete("q", rs...)

		b.clock.Advance(time.Minute - 1)
		again := b.send("q", identified("g", "1", "after it was deleted"))[0]
		require.Equal(b, sent[0].ID, again.ID)
		require.Equal(b, sent[0].Sequence, again.Sequence)
		require.Equal(b, sent[0].EnqueuedAt, again.EnqueuedAt)
		require.Empty(b, b.receive("q", 10))

		b.clock.Advance(1)
		fresh := b.send("q", identified("", "1", "after the window"))[0]
		require.NotEqual(b, sent[0].ID, fresh.ID)
		require.Greater(b, fresh.Sequence, sent[2].Sequence)
		require.Equal(b, []string{"after the window"}, bodies(b.receive("q", 10)))
		require.Equal(b, fresh.ID, b.send("q", identified("", "1", "its window is another"))[0].ID)
	})
}

func TestDedupePerGroup(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{DedupeWindow: time.Minute, DedupePerGroup: true, Ordered: true})
		b.send("q", identified("g", "1", "g"), identified("h", "1", "h"), identified("g", "1", "again"), identified("", "1", "alone"))
		require.ElementsMatch(b, []string{"g", "h", "alone"}, bodies(b.receive("q", 10)))
	})
}

func TestNoDedupe(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		b.send("q", identified("", "1", "a"), identified("", "1", "b"))
		rs := b.receive("q", 10)
		require.Equal(b, []string{"a", "b"}, bodies(rs))
		require.Equal(b, "1", rs[1].DedupeID)
	})
}

func TestPurgedMessagesAreStillKnown(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{DedupeWindow: time.Minute})
		b.send("q", identified("", "1", "a"))
		require.NoError(b, b.Purge(b.ctx, "q"))
		b.send("q", identified("", "1", "b"))
		b.counts("q", 0, 0, 0)
	})
}
