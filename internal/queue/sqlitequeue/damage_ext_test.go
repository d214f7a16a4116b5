package sqlitequeue_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// A file that is truncated or overwritten in place is the same file to the
// system, and SQLite goes on with the pages that it has in memory.
func TestDamagedFileIsNoticed(t *testing.T) {
	t.Parallel()
	truncate := func(suffix string, size func(now int64) int64) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			info, err := os.Stat(path + suffix)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(path+suffix, size(info.Size())))
		}
	}
	overwrite := func(suffix string, with func(t *testing.T, path string) []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path+suffix, with(t, path), 0o600)) // in place
		}
	}
	zeros := func(*testing.T, string) []byte { return make([]byte, 1<<20) }
	half := func(n int64) int64 { return n / 2 }
	nothing := func(int64) int64 { return 0 }
	for _, c := range []struct {
		name, want string
		damage     func(t *testing.T, path string)
	}{
		{"truncated", "was truncated", truncate("", nothing)},
		{"cut to a page", "was truncated", truncate("", func(int64) int64 { return 4096 })},
		{"cut in half", "was truncated", truncate("", half)},
		{"overwritten", "was overwritten", overwrite("", zeros)},
		{"overwritten with text", "was overwritten", overwrite("", func(*testing.T, string) []byte { return []byte("this is a text") })},
		{"another program's database in its place", "was overwritten", overwrite("", func(t *testing.T, path string) []byte {
			other := filepath.Join(t.TempDir(), "other.db")
			sqlDo(t, other, "CREATE TABLE t (x)", "INSERT INTO t VALUES (zeroblob(1000000))")
			b, err := os.ReadFile(other)
			require.NoError(t, err)
			return b
		})},
		{"an older copy in its place", "was overwritten", overwrite("", func(t *testing.T, path string) []byte {
			b, err := os.ReadFile(path + ".copy")
			require.NoError(t, err)
			return b
		})},
		{"its log truncated", "-wal", truncate("-wal", nothing)},
		{"its log cut within the header", "-wal was truncated", truncate("-wal", func(int64) int64 { return 20 })},
		{"its log cut in half", "-wal was truncated", truncate("-wal", half)},
		{"its log overwritten", "-wal was overwritten", overwrite("-wal", zeros)},
		{"its index truncated", "-shm was truncated", truncate("-shm", nothing)},
		{"its index cut in half", "-shm was truncated", truncate("-shm", half)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "queues.db")
			at := newClock()
			e, err := sqlitequeue.Open(ctx, path, &sqlitequeue.Options{Clock: at})
			require.NoError(t, err)
			require.NoError(t, e.Create(ctx, "q", queue.Config{}))
			send := func() {
				_, err := e.Send(ctx, "q", []queue.Message{{Body: make([]byte, 100_000)}, {Body: []byte("small")}})
				require.NoError(t, err)
			}
			// The contents of the log are brought into the file, and there is more in the log.
			send()
			sqlDo(t, path, "PRAGMA wal_checkpoint")
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+".copy", b, 0o600))
			at.Advance(time.Minute)
			send()
			sqlDo(t, path, "PRAGMA wal_checkpoint")
			send()
			rs, err := e.Receive(ctx, "q", queue.ReceiveRequest{Max: 1, Visibility: time.Hour})
			require.NoError(t, err)
			require.Len(t, rs, 1)

			c.damage(t, path)
			lost := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, queue.ErrMoved)
				require.ErrorContains(t, err, path)
				require.ErrorContains(t, err, c.want)
			}
			_, err = e.Send(ctx, "q", text("lost"))
			lost(err)
			_, err = e.Receive(ctx, "q", queue.ReceiveRequest{Max: 1})
			lost(err)
			lost(e.Delete(ctx, "q", receipts(rs))[0])
			_, err = e.Stats(ctx, "q")
			lost(err)
			_, err = e.Peek(ctx, "q", 1)
			lost(err)
			_ = e.Close() // it may meet what is damaged
		})
	}
}

// Permitted changes of a file in use by other programs do not damage it.
func TestMaintenanceIsNoDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		query string
	}{
		{"a checkpoint", "PRAGMA wal_checkpoint"},
		{"a checkpoint that begins the log anew", "PRAGMA wal_checkpoint(RESTART)"},
		{"a checkpoint that empties the log", "PRAGMA wal_checkpoint(TRUNCATE)"},
		{"a vacuum", "VACUUM"},
		{"a vacuum that empties the log", "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "queues.db")
			e := openFile(t, path)
			require.NoError(t, e.Create(ctx, "q", queue.Config{}))
			sent := 0
			for range 10 {
				ms := make([]queue.Message, 5)
				for i := range ms {
					ms[i].Body = make([]byte, 30_000)
				}
				_, err := e.Send(ctx, "q", ms)
				require.NoError(t, err)
				sent += len(ms)
				sqlDo(t, path, c.query)
				rs, err := e.Receive(ctx, "q", queue.ReceiveRequest{Max: 3, Visibility: time.Hour})
				require.NoError(t, err)
				sqlDo(t, path, c.query)
				require.Nil(t, e.Delete(ctx, "q", receipts(rs)))
				sent -= len(rs)
				sqlDo(t, path, c.query)
				s, err := e.Stats(ctx, "q")
				require.NoError(t, err)
				require.EqualValues(t, sent, s.Visible)
			}
			require.NoError(t, e.Close())
		})
	}
}

// An index that was cut loses nothing: it is made anew from the log.
func TestCutIndexLosesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "queues.db")
	e := openFile(t, path)
	require.NoError(t, e.Create(ctx, "q", queue.Config{}))
	_, err := e.Send(ctx, "q", text("x"))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path+"-shm", 0))
	_, err = e.Send(ctx, "q", text("y"))
	require.ErrorIs(t, err, queue.ErrMoved)
	require.NoError(t, e.Close())
	e = openFile(t, path)
	s, err := e.Stats(ctx, "q")
	require.NoError(t, err)
	require.EqualValues(t, 1, s.Visible)
	require.NoError(t, e.Close())
}
