package controlsql

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// A handler has its transaction in the file of the states. The operator's write waits for it
// longer than the database does, and the error says what to do.
func TestAFileWithABusyWriter(t *testing.T) {
	t.Parallel()
	file := "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "shop.db")) + "?_pragma=journal_mode(wal)&_txlock=immediate"
	db, err := sql.Open("sqlite", file+"&_pragma=busy_timeout(20)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s := New(db, Table, "shop")
	ok, err := s.Swap(t.Context(), "orders", "", "running")
	require.NoError(t, err)
	require.True(t, ok)

	handlers, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, handlers.Close()) })
	tx, err := handlers.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	began := time.Now()
	_, err = s.Swap(t.Context(), "orders", "running", "paused")
	require.ErrorContains(t, err, "service.control")
	require.ErrorContains(t, err, "database is locked")
	require.Greater(t, time.Since(began), 30*time.Millisecond, "it tries more than once")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Swap(ended, "orders", "running", "paused")
	require.Error(t, err)

	require.NoError(t, tx.Rollback())
	ok, err = s.Swap(t.Context(), "orders", "running", "paused")
	require.NoError(t, err)
	require.True(t, ok)
}
