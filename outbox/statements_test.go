package outbox

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// backlog returns a table that was never analyzed, with forty thousand rows that are due.
func backlog(t *testing.T, driver, dsn string, d Dialect) *Table {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	table, err := New(db, d, nil)
	require.NoError(t, err)
	require.NoError(t, table.Migrate(t.Context()))
	ms := make([]*handler.Message, 40_000)
	for i := range ms {
		ms[i] = &handler.Message{Body: []byte("work")}
	}
	require.NoError(t, table.Send(t.Context(), nil, "jobs", ms...))
	return table
}

// reads are the statements by which a relay takes and settles up to a hundred rows, with
// their arguments.
func reads(table *Table) map[string][]any {
	q := table.q
	var list []int64
	var tokens []string
	for i := range int64(100) {
		list, tokens = append(list, i+1), append(tokens, "x")
	}
	where := q.held(numbers(list), len(tokens))
	rows := numbers(list)
	if q.dialect != MySQL {
		rows = q.take(2, 0, 100)
	}
	return map[string][]any{
		q.take(1, 0, 100):   nil,
		q.lease(rows, 1000): {"token"},
		q.fill("UPDATE {table} SET " + setSent + " WHERE " + where): q.tokens(tokens),
		q.noteError(1):          {"error", 7, "id"},
		q.remove(numbers(list)): nil,
	}
}

// A plan is a node of PostgreSQL's account of what a statement did.
type plan struct {
	Node  string  `json:"Node Type"`
	Rows  float64 `json:"Actual Rows"`
	Loops float64 `json:"Actual Loops"`
	Gone  float64 `json:"Rows Removed by Filter"`
	Join  float64 `json:"Rows Removed by Join Filter"`
	Plans []plan  `json:"Plans"`
}

// read returns the most rows that a node has read.
func (p *plan) read() float64 {
	most := (p.Rows + p.Gone + p.Join) * p.Loops
	for i := range p.Plans {
		most = max(most, p.Plans[i].read())
	}
	return most
}

// No statement of a relay reads through the backlog.
func TestABacklogIsNotReadThrough(t *testing.T) {
	t.Parallel()
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		table := backlog(t, "pgx", testserver.Postgres(t).URL, PostgreSQL)
		for q, args := range reads(table) {
			tx, err := table.db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			var text string
			require.NoError(t, tx.QueryRowContext(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+q, table.args(tx, args)...).Scan(&text), q)
			require.NoError(t, tx.Rollback())
			var plans []struct{ Plan plan }
			require.NoError(t, json.Unmarshal([]byte(text), &plans))
			require.LessOrEqual(t, plans[0].Plan.read(), 300.0, "%s\n%s", q, text)
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		table := backlog(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "o.db")+"?_pragma=journal_mode(WAL)", SQLite)
		for q, args := range reads(table) {
			if strings.HasPrefix(q, "SELECT") {
				continue // its parts have limits, which a plan does not show
			}
			rows, err := read(t.Context(), table.db, "EXPLAIN QUERY PLAN "+q, args, func(rows *sql.Rows) (s string, err error) {
				var id, parent, unused int
				return s, rows.Scan(&id, &parent, &unused, &s)
			})
			require.NoError(t, err)
			require.Contains(t, rows[0], "SEARCH sluice_outbox USING INTEGER PRIMARY KEY", q)
		}
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		table := backlog(t, "mysql", testserver.MariaDB(t).URL, MySQL)
		for q, args := range reads(table) {
			if strings.HasPrefix(q, "SELECT") {
				continue
			}
			var text string
			require.NoError(t, table.db.QueryRowContext(t.Context(), "EXPLAIN FORMAT=JSON "+q, args...).Scan(&text), q)
			require.Contains(t, text, `"key": "PRIMARY"`, "%s\n%s", q, text)
		}
	})
}

// In the hour of autumn that a session's time zone has twice, MySQL's clock goes on.
func TestTheClockOfMySQLHasNoTimeZone(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("mysql", testserver.MariaDB(t).URL)
	require.NoError(t, err)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	const change = 1_792_890_000 // 2026-10-25T01:00:00Z, the end of summer time
	for _, q := range []string{
		"DELETE FROM mysql.time_zone_name WHERE Name = 'Sluice/Test'",
		"INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N')",
		"SET @id = last_insert_id()",
		"INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('Sluice/Test', @id)",
		"INSERT INTO mysql.time_zone_transition_type VALUES (@id, 0, 7200, 1, 'CEST'), (@id, 1, 3600, 0, 'CET')",
		"INSERT INTO mysql.time_zone_transition VALUES (@id, 1774746000, 0), (@id, 1792890000, 1)",
		"SET time_zone = 'Sluice/Test'",
	} {
		_, err := conn.ExecContext(t.Context(), q)
		require.NoError(t, err, q)
	}
	for _, seconds := range []int64{change - 1800, change, change + 1800, change + 5400} {
		_, err := conn.ExecContext(t.Context(), "SET timestamp = ?", float64(seconds)+0.25)
		require.NoError(t, err)
		var now int64
		require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT "+newStatements(MySQL, "x").now).Scan(&now))
		require.Equal(t, seconds*1000+250, now)
	}
}
