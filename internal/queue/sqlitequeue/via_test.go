package sqlitequeue

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func openAt(t *testing.T, path string) *Engine {
	t.Helper()
	s, err := Open(t.Context(), path, nil)
	require.NoError(t, err)
	return s
}

// An engine forgets how far a queue had come in a transaction that was undone: the
// next message takes the rowid of one that is no more.
func TestUndoneTransactionPassesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := openAt(t, filepath.Join(t.TempDir(), "queues.db"))
	require.NoError(t, s.Create(ctx, "q", queue.Config{}))
	undone := errors.New("undone")
	err := s.write(ctx, "q", func(tx *txn, q *queueRow) error {
		ms := []queue.Message{{ID: "a", Delay: time.Hour}, {ID: "b", Delay: time.Hour}}
		require.NoError(t, send(tx, q, ms))
		_, found, err := newLine(tx, q).first()
		require.NoError(t, err)
		require.False(t, found)
		return undone
	})
	require.ErrorIs(t, err, undone)
	sent, err := s.Send(ctx, "q", []queue.Message{{Body: []byte("x")}})
	require.NoError(t, err)
	rs, err := s.Receive(ctx, "q", queue.ReceiveRequest{Max: 1, Visibility: time.Hour})
	require.NoError(t, err)
	require.Len(t, rs, 1)
	require.Equal(t, sent[0].ID, rs[0].ID)
	require.NoError(t, s.Close())
}

// A receive finds messages behind more delayed ones than it goes through, and an
// engine that is opened later does not go through them again.
func TestMessagesBehindManyDelayedOnes(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "queues.db")
	s := openAt(t, path)
	require.NoError(t, s.Create(ctx, "q", queue.Config{}))
	var want []string
	for range 3 {
		out, err := s.Send(ctx, "q", make([]queue.Message, 2))
		require.NoError(t, err)
		want = append(want, out[0].ID, out[1].ID)
		delayed := make([]queue.Message, mostSkipped+100)
		for i := range delayed {
			delayed[i].Delay = time.Hour
		}
		_, err = s.Send(ctx, "q", delayed)
		require.NoError(t, err)
	}
	var got []string
	for len(got) < len(want) {
		rs, err := s.Receive(ctx, "q", queue.ReceiveRequest{Max: 3, Visibility: time.Hour, Wait: time.Second})
		require.NoError(t, err)
		require.NotEmpty(t, rs)
		for _, r := range rs {
			got = append(got, r.ID)
		}
	}
	require.Equal(t, want, got)
	stats, err := s.Stats(ctx, "q")
	require.NoError(t, err)
	require.Equal(t, [3]int64{0, 6, 3 * (mostSkipped + 100)}, [3]int64{stats.Visible, stats.InFlight, stats.Delayed})
	require.NoError(t, s.Close())

	s = openAt(t, path)
	err = s.read(ctx, func(tx *txn) error {
		q, err := tx.queue("q")
		require.NoError(t, err)
		require.Greater(t, newLine(tx, q).passed(), q.low()+2*mostSkipped)
		return err
	})
	require.NoError(t, err)
	out, err := s.Send(ctx, "q", make([]queue.Message, 1))
	require.NoError(t, err)
	rs, err := s.Receive(ctx, "q", queue.ReceiveRequest{Max: 3, Visibility: time.Hour})
	require.NoError(t, err)
	require.Len(t, rs, 1)
	require.Equal(t, out[0].ID, rs[0].ID)
	require.NoError(t, s.Close())
}

// A queue that becomes ordered takes in those that wait, and one that is not any more
// lets all go.
func TestWaitingMessagesOfAQueueThatBecomesOrdered(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := openAt(t, filepath.Join(t.TempDir(), "queues.db"))
	require.NoError(t, s.Create(ctx, "q", queue.Config{}))
	sent, err := s.Send(ctx, "q", []queue.Message{{Group: "g"}, {}, {Group: "g"}, {Group: "h"}})
	require.NoError(t, err)
	receive := func(want ...int) {
		t.Helper()
		rs, err := s.Receive(ctx, "q", queue.ReceiveRequest{Max: 10, Visibility: 0, Spread: true})
		require.NoError(t, err)
		require.Len(t, rs, len(want))
		for i, w := range want {
			require.Equal(t, sent[w].ID, rs[i].ID)
		}
		require.Nil(t, s.Delete(ctx, "q", []string{rs[0].Receipt}))
	}
	require.NoError(t, s.Configure(ctx, "q", queue.Config{Ordered: true}))
	receive(0, 1, 3, 2)
	require.NoError(t, s.Configure(ctx, "q", queue.Config{}))
	receive(1, 2, 3)
	receive(2, 3)
	require.NoError(t, s.Close())
}
