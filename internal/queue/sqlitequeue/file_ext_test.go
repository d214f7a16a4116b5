package sqlitequeue_test

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

func openFile(t *testing.T, path string) *sqlitequeue.Engine {
	t.Helper()
	e, err := sqlitequeue.Open(t.Context(), path, nil)
	require.NoError(t, err)
	return e
}

// sqlDo changes a file behind the engine's back.
func sqlDo(t *testing.T, path string, queries ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	for _, q := range queries {
		_, err := db.ExecContext(t.Context(), q)
		require.NoError(t, err, q)
	}
	require.NoError(t, db.Close())
}

// content is everything in a directory.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		out[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(b))
	}
	return out
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		make       func(t *testing.T, path string)
	}{
		{"tables", "another program's", func(t *testing.T, path string) { sqlDo(t, path, "CREATE TABLE t (x)") }},
		{"tables and a log", "another program's", func(t *testing.T, path string) {
			sqlDo(t, path, "PRAGMA journal_mode = WAL", "CREATE TABLE t (x)")
		}},
		{"an ID and no tables", "another program's", func(t *testing.T, path string) { sqlDo(t, path, "PRAGMA application_id = 7") }},
		{"a version and no tables", "another program's", func(t *testing.T, path string) { sqlDo(t, path, "PRAGMA user_version = 7") }},
		{"tables named as ours", "another program's", func(t *testing.T, path string) {
			require.NoError(t, openFile(t, path).Close())
			sqlDo(t, path, "PRAGMA application_id = 0")
		}},
		{"a newer version", "version is 99", func(t *testing.T, path string) {
			require.NoError(t, openFile(t, path).Close())
			sqlDo(t, path, "PRAGMA user_version = 99")
		}},
		{"no version", "version is 0", func(t *testing.T, path string) {
			require.NoError(t, openFile(t, path).Close())
			sqlDo(t, path, "PRAGMA user_version = 0")
		}},
		{"text", "not a SQLite file", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("this is no database, and long enough not to be taken for an empty one, so that its header is looked at"), 0o600))
		}},
		{"little text", "not a SQLite file", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "other.db")
			c.make(t, path)
			before := content(t, dir)
			_, err := sqlitequeue.Open(t.Context(), path, nil)
			require.ErrorIs(t, err, queue.ErrForeign)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, before, content(t, dir))
		})
	}
	_, err := sqlitequeue.Open(t.Context(), filepath.Join(t.TempDir(), "missing", "q.db"), nil)
	require.ErrorContains(t, err, "missing")
}

// Another program's file whose log holds its tables is recognized by the log.
func TestForeignFileInUseIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	for _, q := range []string{"PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", "CREATE TABLE t (x)"} {
		_, err := db.ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	_, err = sqlitequeue.Open(t.Context(), path, nil)
	require.ErrorIs(t, err, queue.ErrForeign)
	_, err = db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = sqlitequeue.Open(t.Context(), path, nil)
	require.ErrorIs(t, err, queue.ErrForeign)
}

// Processes that start together make one file: none takes what another is
// making for another program's.
func TestManyOpenANewFile(t *testing.T) {
	t.Parallel()
	for range 40 {
		path := filepath.Join(t.TempDir(), "queues.db")
		var opening sync.WaitGroup
		engines, errs := make([]*sqlitequeue.Engine, 4), make([]error, 4)
		for i := range engines {
			opening.Go(func() { engines[i], errs[i] = sqlitequeue.Open(t.Context(), path, nil) })
		}
		opening.Wait()
		for i, e := range engines {
			require.NoError(t, errs[i])
			require.NoError(t, e.Close())
		}
	}
}

// A killed process leaves a file, a log, and perhaps the log's index.
func TestFileOfAKilledProcessIsOurs(t *testing.T) {
	t.Parallel()
	for _, also := range [][]string{{"", "-wal"}, {"", "-wal", "-shm"}} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "from.db"), filepath.Join(dir, "to.db")
		e := openFile(t, from)
		require.NoError(t, e.Create(t.Context(), "q", queue.Config{}))
		_, err := e.Send(t.Context(), "q", text("x"))
		require.NoError(t, err)
		for _, suffix := range also {
			b, err := os.ReadFile(from + suffix)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(to+suffix, b, 0o600))
		}
		require.NoError(t, e.Close())
		e = openFile(t, to)
		s, err := e.Stats(t.Context(), "q")
		require.NoError(t, err)
		require.EqualValues(t, 1, s.Visible)
		require.NoError(t, e.Close())
	}
}

func TestLostFileIsNoticed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lose func(t *testing.T, path string)
		back func(path string) error // undoes it
	}{
		{"deleted", func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, nil},
		{"moved", func(t *testing.T, path string) { require.NoError(t, os.Rename(path, path+".old")) },
			func(path string) error { return os.Rename(path+".old", path) }},
		{"replaced", func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".old"))
			e := openFile(t, path)
			require.NoError(t, e.Create(t.Context(), "q", queue.Config{}))
			require.NoError(t, e.Close())
		}, nil},
		{"its directory moved", func(t *testing.T, path string) {
			require.NoError(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"))
		},
			func(path string) error { return os.Rename(filepath.Dir(path)+".old", filepath.Dir(path)) }},
		{"its log deleted", func(t *testing.T, path string) { require.NoError(t, os.Remove(path+"-wal")) }, nil},
		{"its index deleted", func(t *testing.T, path string) { require.NoError(t, os.Remove(path+"-shm")) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "d", "queues.db")
			require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
			e := openFile(t, path)
			require.NoError(t, e.Create(ctx, "q", queue.Config{}))
			_, err := e.Send(ctx, "q", text("x"))
			require.NoError(t, err)
			rs, err := e.Receive(ctx, "q", queue.ReceiveRequest{Max: 1, Visibility: time.Hour})
			require.NoError(t, err)
			require.Len(t, rs, 1)

			waiting := make(chan error, 1)
			go func() {
				_, err := e.Receive(ctx, "q", queue.ReceiveRequest{Max: 1, Wait: time.Minute})
				waiting <- err
			}()
			c.lose(t, path)
			lost := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, queue.ErrMoved)
				require.ErrorContains(t, err, path)
			}
			_, err = e.Send(ctx, "q", text("lost"))
			lost(err)
			_, err = e.Receive(ctx, "q", queue.ReceiveRequest{Max: 1})
			lost(err)
			lost(e.Delete(ctx, "q", receipts(rs))[0])
			lost(e.Change(ctx, "q", []queue.Change{{Receipt: rs[0].Receipt, By: time.Hour}})[0])
			_, err = e.Stats(ctx, "q")
			lost(err)
			_, err = e.Peek(ctx, "q", 1)
			lost(err)
			select {
			case err := <-waiting:
				lost(err)
			case <-time.After(30 * time.Second):
				t.Fatal("the receive goes on waiting")
			}
			if c.back != nil {
				require.NoError(t, c.back(path))
				_, err = e.Send(ctx, "q", text("found"))
				require.NoError(t, err)
				require.Nil(t, e.Delete(ctx, "q", receipts(rs)))
			}
			require.NoError(t, e.Close())
		})
	}
}

// Commits wait by fdatasync if the system has it: fsync waits for the times of the file, too.
func TestCommitsDoNotWaitForTimes(t *testing.T) {
	t.Parallel()
	e := openFile(t, filepath.Join(t.TempDir(), "q.db"))
	defer func() { require.NoError(t, e.Close()) }()
	enabled := sqlite.FdatasyncEnabled()
	_, err := sqlite.Fdatasync(true)
	require.Equal(t, err == nil, enabled)
}
