package sqlstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// dialects runs a test on both databases, each with a table of its own.
func dialects(t *testing.T, test func(t *testing.T, db *sql.DB, s *sqlstore.Store)) {
	t.Helper()
	t.Run("postgresql", func(t *testing.T) {
		db := openPostgres(t)
		test(t, db, newPostgresStore(t, db))
	})
	t.Run("sqlite", func(t *testing.T) {
		db := openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
		test(t, db, newSQLiteStore(t, db))
	})
}

func TestNewNamesEachFault(t *testing.T) {
	t.Parallel()
	_, err := sqlstore.New(nil, 0, &sqlstore.Config{Table: "drop table; --"})
	require.ErrorContains(t, err, "the database is nil")
	require.ErrorContains(t, err, "dialect 0")
	require.ErrorContains(t, err, `"drop table; --": it must be a name`)
}

func TestCleanupRemovesWhatEnded(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		for i := range 30 {
			_, err := s.Claim(t.Context(), fmt.Sprint(i), "t", time.Hour)
			require.NoError(t, err)
		}
		// As if a day had passed for twenty of them.
		_, err := db.ExecContext(t.Context(), `UPDATE sluice_idempotency SET expires_at = expires_at - 86400000
			WHERE key IN (SELECT key FROM sluice_idempotency ORDER BY key LIMIT 20)`)
		require.NoError(t, err)

		n, err := s.Cleanup(t.Context(), 15)
		require.NoError(t, err)
		require.EqualValues(t, 15, n)
		n, err = s.Cleanup(t.Context(), 0)
		require.NoError(t, err)
		require.EqualValues(t, 5, n)
		var left int
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM sluice_idempotency`).Scan(&left))
		require.Equal(t, 10, left)
	})
}
