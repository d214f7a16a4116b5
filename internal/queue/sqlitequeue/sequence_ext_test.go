package sqlitequeue_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// Sequences increase in the order of sending, whoever sends, though an engine reserves
// some in advance.
func TestSequencesIncreaseOverEngines(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "queues.db")
	var engines []*sqlitequeue.Engine
	for range 2 {
		s, err := sqlitequeue.Open(ctx, path, nil)
		require.NoError(t, err)
		engines = append(engines, s)
	}
	require.NoError(t, engines[0].Create(ctx, "q", queue.Config{}))
	last, sent := int64(0), 0
	send := func(s *sqlitequeue.Engine, n int) {
		out, err := s.Send(ctx, "q", make([]queue.Message, n))
		require.NoError(t, err)
		for _, m := range out {
			require.Greater(t, m.Sequence, last)
			last = m.Sequence
		}
		sent += n
	}
	for i := range 300 { // the turns are of one message up to many
		for range i%20 + 1 {
			send(engines[i%2], i%7+1)
		}
	}
	require.Less(t, last, int64(2*sent), "few are lost")
	require.NoError(t, engines[0].Close())
	send(engines[1], 1)
	require.NoError(t, engines[1].Close())
	again, err := sqlitequeue.Open(ctx, path, nil)
	require.NoError(t, err)
	send(again, 1)
	ms, err := again.Peek(ctx, "q", sent+1)
	require.NoError(t, err)
	require.Len(t, ms, sent)
	require.NoError(t, again.Close())
}

// A task moves, and a purge removes, what is there when it begins, not what is sent
// later with sequences that were reserved before.
func TestReservedSequencesAreLater(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := sqlitequeue.Open(ctx, filepath.Join(t.TempDir(), "queues.db"), nil)
	require.NoError(t, err)
	require.NoError(t, s.Create(ctx, "from", queue.Config{}))
	require.NoError(t, s.Create(ctx, "to", queue.Config{}))
	send := func(n int) {
		for range n {
			_, err := s.Send(ctx, "from", make([]queue.Message, 1))
			require.NoError(t, err)
		}
	}
	send(100) // some are in reserve
	task, err := s.StartMove(ctx, "from", "to", 40)
	require.NoError(t, err)
	require.EqualValues(t, 100, task.ToMove)
	send(20)
	require.Eventually(t, func() bool {
		ts, err := s.Moves(ctx, "from")
		return err == nil && ts[0].Status == queue.TaskCompleted
	}, 20*time.Second, time.Millisecond)
	for name, want := range map[string]int64{"from": 20, "to": 100} {
		stats, err := s.Stats(ctx, name)
		require.NoError(t, err)
		require.Equal(t, want, stats.Visible, name)
	}
	require.NoError(t, s.Purge(ctx, "from"))
	send(1)
	stats, err := s.Stats(ctx, "from")
	require.NoError(t, err)
	require.EqualValues(t, 1, stats.Visible)
	require.NoError(t, s.Close())
}
