package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func TestDeadLetterAfterMaxReceives(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{DeadLetter: "d", MaxReceives: 2})
		b.create("d", queue.Config{MaxReceives: 1, DeadLetter: "dd"})
		sent := b.send("q", queue.Message{
			ID: "id", Body: []byte(strings.Repeat("x", 3000)), Extra: []byte("e"), Attributes: map[string]string{"k": "v"}, Group: "g", DedupeID: "dd",
		})[0]
		for range 2 {
			b.clock.Advance(time.Second)
			b.change("q", 0, b.receiveOne("q"))
		}
		b.counts("q", 1, 0, 0)
		b.counts("d", 0, 0, 0) // not before the next receive
		require.Empty(b, b.receive("q", 1))
		b.counts("q", 0, 0, 0)
		b.counts("d", 1, 0, 0)
		letter := b.receiveOne("d")
		require.Equal(b, "id", letter.ID)
		require.Len(b, letter.Body, 3000)
		require.Equal(b, "e", string(letter.Extra))
		require.Equal(b, map[string]string{"k": "v"}, letter.Attributes)
		require.Equal(b, "g", letter.Group)
		require.Equal(b, "dd", letter.DedupeID)
		require.Equal(b, "q", letter.Source)
		require.Equal(b, sent.EnqueuedAt, letter.EnqueuedAt)
		require.Equal(b, 1, letter.Receives, "its receives are counted anew")
		require.Equal(b, b.clock.Now().UnixNano(), letter.FirstReceived.UnixNano())

		// The dead-letter queue's own is missing: it is delivered for ever.
		b.change("d", 0, letter)
		require.Equal(b, 2, b.receiveOne("d").Receives)
	})
}

// A receive takes what is due first, also where what is due before it goes to
// the dead-letter queue.
func TestWhatIsDueFirstIsTakenBehindDeadLetters(t *testing.T) {
	message := func(group, body string, delay time.Duration) queue.Message {
		return queue.Message{Group: group, Body: []byte(body), Delay: delay}
	}
	tests := map[string][]queue.Message{
		"single before a group":   {message("", "spent", 0), message("", "first", 90*time.Second), message("g", "second", 2*time.Minute)},
		"group before a single":   {message("s", "spent", 0), message("g", "first", 90*time.Second), message("", "second", 2*time.Minute)},
		"group before a group":    {message("s", "spent", 0), message("g", "first", 90*time.Second), message("h", "second", 2*time.Minute)},
		"single before a single":  {message("", "spent", 0), message("", "first", 90*time.Second), message("", "second", 2*time.Minute)},
		"behind one of each kind": {message("s", "spent", 0), message("", "spent", 0), message("", "first", 90*time.Second), message("g", "second", 2*time.Minute)},
	}
	for name, ms := range tests {
		t.Run(name, func(t *testing.T) {
			stores(t, func(b *bench) {
				b.create("q", queue.Config{Ordered: true, DeadLetter: "d", MaxReceives: 1})
				b.create("d", queue.Config{})
				b.send("q", ms...)
				spent := b.receive("q", 10)
				b.clock.Advance(2 * time.Minute)
				require.Equal(b, []string{"first"}, bodies(b.receive("q", 1)))
				b.counts("d", int64(len(spent)), 0, 0)
				require.Equal(b, []string{"second"}, bodies(b.receive("q", 1)))
			})
		})
	}
	t.Run("single before one that was sent later", func(t *testing.T) {
		stores(t, func(b *bench) {
			b.create("q", queue.Config{DeadLetter: "d", MaxReceives: 1})
			b.create("d", queue.Config{})
			b.send("q", message("", "spent", 0), message("", "first", 90*time.Second))
			b.receiveOne("q")
			b.clock.Advance(2 * time.Minute)
			b.send("q", message("", "second", 0))
			require.Equal(b, []string{"first"}, bodies(b.receive("q", 1)))
			require.Equal(b, []string{"second"}, bodies(b.receive("q", 1)))
		})
	})
}

func TestReject(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{DeadLetter: "d"})
		b.create("d", queue.Config{})
		b.send("q", text("a", "b", "c", "d")...)
		rs := b.receive("q", 4)
		b.delete("q", rs[1])
		attributes := map[string]string{"why": "because"}
		errs := b.Reject(b.ctx, "q", []queue.Rejection{
			{Receipt: rs[0].Receipt, Attributes: attributes}, {Receipt: rs[1].Receipt}, {Receipt: "nonsense"}, {Receipt: rs[2].Receipt},
		})
		require.Equal(b, []error{nil, queue.ErrReceipt, queue.ErrReceipt, nil}, errs)
		attributes["why"] = "changed"
		b.counts("q", 0, 1, 0)
		require.Equal(b, []error{queue.ErrReceipt}, b.Reject(b.ctx, "q", []queue.Rejection{{Receipt: rs[0].Receipt}}), "rejected twice")
		letters := b.receive("d", 4)
		require.Equal(b, []string{"a", "c"}, bodies(letters))
		require.Equal(b, map[string]string{"why": "because"}, letters[0].Attributes)
		require.Empty(b, letters[1].Attributes)
		require.Equal(b, "q", letters[0].Source)

		b.clock.Advance(time.Hour) // as with a delete, the lease may have ended
		require.Nil(b, b.Reject(b.ctx, "q", []queue.Rejection{{Receipt: rs[3].Receipt}}))
	})
}

func TestRejectWithoutDeadLetterQueue(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("none", queue.Config{})
		b.create("missing", queue.Config{DeadLetter: "gone"})
		for _, name := range []string{"none", "missing"} {
			b.send(name, text("x")...)
			errs := b.Reject(b.ctx, name, []queue.Rejection{{Receipt: b.receiveOne(name).Receipt}})
			require.ErrorIs(b, errs[0], queue.ErrNoDeadLetter)
			b.counts(name, 0, 1, 0)
		}
	})
}

func TestOldLettersExpire(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{DeadLetter: "d"})
		b.create("d", queue.Config{Retention: time.Hour})
		reject := func() {
			require.Nil(b, b.Reject(b.ctx, "q", []queue.Rejection{{Receipt: b.receiveOne("q").Receipt}}))
		}
		b.send("q", text("old")...)
		b.clock.Advance(50 * time.Minute)
		b.send("d", text("direct")...)
		b.send("q", text("young")...)
		reject()
		reject()
		b.counts("d", 3, 0, 0)
		require.Equal(b, b.clock.Now().Add(-50*time.Minute).UnixNano(), b.stats("d").Oldest.UnixNano(), "a letter keeps its age")
		b.clock.Advance(10 * time.Minute)
		require.Equal(b, []string{"direct", "young"}, bodies(b.receive("d", 10)))
	})
}
