package sqlitequeue

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

// TestNoStatementLooksAtTheWholeBacklog asks SQLite how it would carry out every
// statement that an engine has used: none may go through all messages or sort
// them.
func TestNoStatementLooksAtTheWholeBacklog(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "queues.db"), nil)
	require.NoError(t, err)
	for _, ordered := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "ordered"}[ordered]
		require.NoError(t, s.Create(ctx, name, queue.Config{Ordered: ordered, DeadLetter: "d", MaxReceives: 1, DedupeWindow: time.Minute, Retention: time.Hour}))
		require.NoError(t, s.Create(ctx, "d", queue.Config{}))
		_, err = s.Send(ctx, name, []queue.Message{{Group: "g", DedupeID: "1"}, {Group: "g", Body: make([]byte, 5000)}, {}})
		require.NoError(t, err)
		rs, err := s.Receive(ctx, name, queue.ReceiveRequest{Max: 10, Spread: ordered, AttemptID: "a", Visibility: time.Minute, Wait: time.Millisecond})
		require.NoError(t, err)
		_, err = s.Receive(ctx, name, queue.ReceiveRequest{Max: 10, AttemptID: "a", Visibility: time.Minute})
		require.NoError(t, err)
		require.Nil(t, s.Change(ctx, name, []queue.Change{{Receipt: rs[0].Receipt, By: time.Hour}, {Receipt: rs[1].Receipt}}))
		require.Nil(t, s.Reject(ctx, name, []queue.Rejection{{Receipt: rs[1].Receipt}}))
		require.Nil(t, s.Delete(ctx, name, []string{rs[0].Receipt}))
		_, err = s.Receive(ctx, name, queue.ReceiveRequest{Max: 10, Visibility: 0})
		require.NoError(t, err)
		_, err = s.Receive(ctx, name, queue.ReceiveRequest{Max: 10, Visibility: 0})
		require.NoError(t, err)
		_, err = s.StartMove(ctx, "d", name, 0)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			ts, err := s.Moves(ctx, "d")
			return err == nil && ts[0].Status == queue.TaskCompleted
		}, 10*time.Second, time.Millisecond)
		_, err = s.Stats(ctx, name)
		require.NoError(t, err)
		_, err = s.Peek(ctx, name, 10)
		require.NoError(t, err)
		require.NoError(t, s.Configure(ctx, name, queue.Config{Ordered: ordered, Retention: time.Nanosecond}))
		_, err = s.Send(ctx, name, []queue.Message{{}})
		require.NoError(t, err)
		require.NoError(t, s.Purge(ctx, name))
	}

	seen := 0
	for query := range s.writer.Statements() {
		if !strings.Contains(query, "messages") && !strings.Contains(query, "groups") && !strings.Contains(query, "seen") && !strings.Contains(query, "bodies") {
			continue
		}
		for _, detail := range plan(t, s, query) {
			for _, bad := range []string{"SCAN messages", "SCAN groups", "SCAN seen", "SCAN bodies", "TEMP B-TREE"} {
				require.NotContains(t, detail, bad, query)
			}
			seen++
		}
	}
	require.Greater(t, seen, 15)
	require.NoError(t, s.Close())
}

// TestStatementsAreNotCompiledAgain receives as many messages as a plan may depend
// on, from the queue whose number is 1.
func TestStatementsAreNotCompiledAgain(t *testing.T) {
	t.Parallel()
	for _, ordered := range []bool{false, true} {
		ctx := t.Context()
		s, err := Open(ctx, filepath.Join(t.TempDir(), "queues.db"), nil)
		require.NoError(t, err)
		require.NoError(t, s.Create(ctx, "q", queue.Config{Ordered: ordered}))
		for i := range 100 {
			_, err := s.Send(ctx, "q", make([]queue.Message, 1+i%3))
			require.NoError(t, err)
			_, err = s.Send(ctx, "q", []queue.Message{{Group: "g"}, {Group: "h", Body: make([]byte, 5000)}})
			require.NoError(t, err)
			rs, err := s.Receive(ctx, "q", queue.ReceiveRequest{Max: 1 + i%3, Visibility: time.Minute, Spread: true})
			require.NoError(t, err)
			require.NotEmpty(t, rs)
			for _, r := range rs {
				require.Nil(t, s.Change(ctx, "q", []queue.Change{{Receipt: r.Receipt, By: time.Hour}}))
				require.Nil(t, s.Delete(ctx, "q", []string{r.Receipt}))
			}
		}
		for query, stmt := range s.writer.Statements() {
			require.Less(t, stmt.Reprepared(), 5, query)
		}
		require.NoError(t, s.Close())
	}
}

func plan(t *testing.T, s *Engine, query string) []string {
	t.Helper()
	rows, err := s.readers.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, 20)...)
	require.NoError(t, err, query)
	defer rows.Close()
	var details []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		details = append(details, detail)
	}
	require.NoError(t, rows.Err())
	return details
}
