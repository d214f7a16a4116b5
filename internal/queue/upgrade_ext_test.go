package queue_test

import (
	"database/sql"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// A file of an earlier version is brought up to date, with what is in it.
func TestOldFileIsUpgraded(t *testing.T) {
	three := []string{
		"DROP INDEX messages_due", "DROP INDEX messages_age", "ALTER TABLE messages RENAME COLUMN via TO ordered",
		"UPDATE messages SET ordered = 0 WHERE ordered = 2",
		"CREATE INDEX messages_due ON messages (queue, ordered, visible_at)", "CREATE INDEX messages_age ON messages (queue, enqueued_at)",
		"ALTER TABLE queues DROP COLUMN passed", "PRAGMA user_version = 3",
	}
	two := append(slices.Clone(three),
		"ALTER TABLE messages DROP COLUMN sent_at", "ALTER TABLE messages DROP COLUMN exhausted", "DROP TABLE clock", "PRAGMA user_version = 2")
	for name, downgrade := range map[string][]string{
		"1": append(slices.Clone(two), "ALTER TABLE messages DROP COLUMN earlier", "PRAGMA user_version = 1"),
		"2": two,
		"3": three,
	} {
		t.Run(name, func(t *testing.T) { upgraded(t, downgrade) })
	}
}

func upgraded(t *testing.T, downgrade []string) {
	path := filepath.Join(t.TempDir(), "queues.db")
	c := newClock()
	open := func() *bench {
		e, err := sqlitequeue.Open(t.Context(), path, &sqlitequeue.Options{Clock: c})
		require.NoError(t, err)
		return newBench(t, c, e)
	}
	b := open()
	b.create("q", queue.Config{})
	sent := c.Now()
	b.send("q", text("a", "b")...)
	b.receiveOne("q")
	require.NoError(t, b.Close())

	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	for _, q := range downgrade {
		_, err := db.ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())

	for range 2 {
		b = open()
		b.counts("q", 1, 1, 0)
		c.Advance(time.Minute)
		rs := b.receive("q", 2)
		require.Equal(t, []string{"b", "a"}, bodies(rs))
		require.Equal(t, sent.UnixNano(), rs[0].EnqueuedAt.UnixNano())
		b.change("q", 0, rs[0])
		require.NoError(t, b.Close())
		c.Advance(time.Minute)
		b = open()
		b.delete("q", b.receive("q", 2)...)
		sent = c.Now()
		b.send("q", text("a", "b")...)
		b.receiveOne("q")
		require.NoError(t, b.Close())
	}
}
