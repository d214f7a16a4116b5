package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

// TestLax has each promise that a lax queue does not make, beside the strict
// queue that does.
func TestLax(t *testing.T) {
	stores(t, func(b *bench) {
		for _, lax := range []bool{false, true} {
			name := map[bool]string{false: "strict", true: "lax"}[lax]
			refused := map[bool][]error{false: {queue.ErrReceipt}, true: nil}[lax]
			hold := func(q string, r queue.Received, by time.Duration) []error {
				return b.Change(b.ctx, q, []queue.Change{{Receipt: r.Receipt, By: by}})
			}

			// Leases.
			b.create(name, queue.Config{Lax: lax})
			b.send(name, text("a")...)
			first := b.receiveOne(name)
			b.clock.Advance(time.Minute)
			require.Equal(b, refused, hold(name, first, time.Minute), "its lease has ended")
			b.counts(name, map[bool]int64{false: 1, true: 0}[lax], map[bool]int64{false: 0, true: 1}[lax], 0)
			b.clock.Advance(time.Minute)
			second := b.receiveOne(name)
			require.Equal(b, refused, hold(name, first, 0), "another delivery holds it")
			require.Len(b, b.receive(name, 1), map[bool]int{false: 0, true: 1}[lax])
			require.Equal(b, []error{queue.ErrReceipt}, b.Delete(b.ctx, name, receipts([]queue.Received{first})), "an old receipt deletes nothing")
			b.clock.Advance(time.Minute)
			b.delete(name, b.receiveOne(name))
			require.ErrorIs(b, hold(name, second, time.Minute)[0], queue.ErrGone)
			b.send(name, text("takes its place in memory")...)
			other := b.receiveOne(name)
			require.ErrorIs(b, hold(name, second, 0)[0], queue.ErrGone)
			require.Nil(b, hold(name, other, time.Minute))

			// Groups.
			group := name + " group"
			b.create(group, queue.Config{Lax: lax, Ordered: true})
			b.send(group, text("g/1", "g/2", "g/3", "h/1")...)
			held := b.receive(group, 2)
			require.Equal(b, []string{"1", "2"}, bodies(held))
			b.change(group, 0, held[0])
			got := b.receive(group, 10)
			require.Equal(b, map[bool][]string{false: {"1"}, true: {"1", "1"}}[lax], bodies(got), "the later one is in flight")
			b.delete(group, held[1])
			require.Equal(b, map[bool][]string{false: {"1", "3"}, true: {}}[lax], bodies(b.receive(group, 10)))
			require.Equal(b, []error{queue.ErrReceipt}, hold(group, held[0], 0), "receipts of ordered queues are strict")

			// Purges.
			window := name + " window"
			b.create(window, queue.Config{Lax: lax, DedupeWindow: time.Hour})
			b.send(window, identified("", "1", "before"))
			require.NoError(b, b.Purge(b.ctx, window))
			b.send(window, identified("", "1", "after"))
			require.Len(b, b.receive(window, 1), map[bool]int{false: 0, true: 1}[lax])

			// Itself for dead letters.
			self := queue.Config{Lax: lax, DeadLetter: name + " self", MaxReceives: 1}
			if !lax {
				require.ErrorIs(b, b.Create(b.ctx, self.DeadLetter, self), queue.ErrConfig)
				continue
			}
			b.create(self.DeadLetter, self)
			b.send(self.DeadLetter, text("a")...)
			for i := range 5 {
				r := b.receiveOne(self.DeadLetter)
				require.Equal(b, i+1, r.Receives)
				b.change(self.DeadLetter, 0, r)
			}
		}
	})
}

// A lax letter goes on with its receives, and counts toward the next queue's
// limit from zero; a task makes a new message of it.
func TestLaxLetters(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{Lax: true, Ordered: true, DeadLetter: "d", MaxReceives: 2})
		b.create("d", queue.Config{Lax: true, Ordered: true, DeadLetter: "e", MaxReceives: 1})
		b.create("e", queue.Config{Lax: true, Ordered: true})
		sent := b.send("q", identified("g", "mine", "a"))[0]
		begin := b.clock.Now()
		for i := range 2 {
			b.clock.Advance(time.Second)
			r := b.receiveOne("q")
			require.Equal(b, i+1, r.Receives)
			require.Equal(b, "mine", r.DedupeID)
			b.change("q", 0, r)
		}
		require.Empty(b, b.receive("q", 1))
		letter := b.receiveOne("d")
		require.Equal(b, 3, letter.Receives)
		require.Equal(b, begin.Add(time.Second).UnixNano(), letter.FirstReceived.UnixNano())
		require.Equal(b, []string{sent.ID, sent.ID}, []string{letter.ID, letter.DedupeID})
		b.change("d", 0, letter)
		require.Empty(b, b.receive("d", 1), "it was received once in this queue")
		last := b.receiveOne("e")
		require.Equal(b, 4, last.Receives)
		b.change("e", 0, last)

		b.clock.Advance(time.Hour)
		_, err := b.StartMove(b.ctx, "e", "q", 0)
		require.NoError(b, err)
		require.Equal(b, queue.TaskCompleted, b.ended("e").Status)
		back := b.receiveOne("q")
		require.NotEqual(b, sent.ID, back.ID)
		require.Equal(b, 1, back.Receives)
		require.Equal(b, b.clock.Now().UnixNano(), back.EnqueuedAt.UnixNano())
		require.Empty(b, back.Source)
	})
}
