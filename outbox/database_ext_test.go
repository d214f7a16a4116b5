package outbox_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/outbox"
)

var all = []outbox.Dialect{outbox.SQLite, outbox.PostgreSQL, outbox.MySQL}

// databases runs a test on each database, with a table of its own.
func databases(t *testing.T, test func(t *testing.T, db *sql.DB, table *outbox.Table)) {
	t.Helper()
	for _, d := range all {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			db, table := open(t, d)
			test(t, db, table)
		})
	}
}

// open returns a database of its own, and its table.
func open(t *testing.T, d outbox.Dialect) (*sql.DB, *outbox.Table) {
	t.Helper()
	var db *sql.DB
	var err error
	switch d {
	case outbox.SQLite:
		db, err = sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "o.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_pragma=synchronous(NORMAL)&_txlock=immediate")
	case outbox.PostgreSQL:
		db, err = sql.Open("pgx", testserver.Postgres(t).URL)
	case outbox.MySQL:
		db, err = sql.Open("mysql", testserver.MariaDB(t).URL)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(16)
	table, err := outbox.New(db, d, nil)
	require.NoError(t, err)
	require.NoError(t, table.Migrate(t.Context()))
	return db, table
}
