package opentable_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/lookonly"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/opentable"
)

func TestEachDatabaseOpens(t *testing.T) {
	t.Parallel()
	for name, rawURL := range map[string]string{
		"sqlite":     "sqlite://" + filepath.ToSlash(t.TempDir()) + "/a%20file%3F.db?table=rows",
		"postgresql": testserver.Postgres(t).URL + "&table=public.rows",
		"mysql":      mysqlURL(t) + "?table=outbox_of_open",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, db, err := opentable.URL(t.Context(), rawURL)
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			require.ErrorIs(t, table.Check(t.Context()), drivers.ErrNotFound, "nothing is made by opening")
			require.NoError(t, table.Migrate(t.Context()))
			conn, ok := db.(*sql.DB)
			require.True(t, ok)
			require.NoError(t, table.Send(t.Context(), conn, "q", &handler.Message{Body: []byte("x")}))

			again, other, err := opentable.URL(t.Context(), rawURL)
			require.NoError(t, err)
			defer func() { require.NoError(t, other.Close()) }()
			rows, err := again.Pending(t.Context(), 0)
			require.NoError(t, err)
			require.Len(t, rows, 1)
		})
	}
}

// mysqlURL is the test server's address, which the driver writes in its own way, as a URL.
func mysqlURL(t *testing.T) string {
	t.Helper()
	c, err := mysql.ParseDSN(testserver.MariaDB(t).URL)
	require.NoError(t, err)
	return "mysql://" + c.User + "@" + c.Addr + "/" + c.DBName
}

func TestURLsThatAreWrong(t *testing.T) {
	t.Parallel()
	for rawURL, want := range map[string]string{
		"postgre://db/shop":                 `did you mean "postgres"?`,
		"redis://cache:6379":                "no database has the scheme",
		"://":                               "missing protocol scheme",
		"sqlite://":                         "names no file",
		"sqlite://o.db?tabel=x":             `unknown parameter "tabel"`,
		"sqlite://o.db?table=a-b":           "letters, digits and underscores",
		"postgres://db/s?pool_max_conns=no": "must be a positive number",
		"mysql:///shop":                     "names no host",
		"mysql://db:3306":                   "no database",
		"mysql://db/shop?tls=perhaps":       "unknown config name",
		"sqlite://o.db?%zz":                 "invalid URL escape",
	} {
		_, _, err := opentable.URL(t.Context(), rawURL)
		require.ErrorIs(t, err, drivers.ErrInvalid, rawURL)
		require.ErrorContains(t, err, want, rawURL)
	}
	_, _, err := opentable.URL(t.Context(), "postgres://u:hunter2@db:port/shop")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

// Those who only look at a table do not make its file, and can't write to it.
func TestLookingCreatesNoFile(t *testing.T) {
	t.Parallel()
	look := lookonly.Context(t.Context())
	file := filepath.Join(t.TempDir(), "a?b.db")
	open := func(ctx context.Context) *outbox.Table {
		table, db, err := opentable.URL(ctx, "sqlite://"+strings.ReplaceAll(filepath.ToSlash(file), "?", "%3F"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return table
	}
	_, err := open(look).Backlog(look)
	require.ErrorContains(t, err, "unable to open database file")
	require.NoFileExists(t, file)

	require.NoError(t, open(t.Context()).Migrate(t.Context()))
	table := open(look)
	rows, err := table.Backlog(look)
	require.NoError(t, err)
	require.Empty(t, rows)
	require.ErrorContains(t, table.Send(look, nil, "orders", &handler.Message{}), "readonly")
}

// A relay whose host is gone leaves the table's lock to its session.
func TestTheSessionsOfMySQLEndSoon(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]int{"": 360, "?wait_timeout=60": 60} {
		_, db, err := opentable.URL(t.Context(), mysqlURL(t)+params)
		require.NoError(t, err)
		conn, ok := db.(*sql.DB)
		require.True(t, ok)
		var seconds int
		require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT @@session.wait_timeout").Scan(&seconds))
		require.Equal(t, want, seconds)
		require.NoError(t, db.Close())
	}
}
