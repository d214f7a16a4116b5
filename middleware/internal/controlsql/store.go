// Package controlsql keeps the states of package control in a table of a SQL database,
// PostgreSQL or SQLite.
package controlsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sluice-go/sluice/internal/sqlconn"
)

// Table is the default table, and Conns how many connections the store needs: one for each
// read, and another while a read outlasts its timeout.
const (
	Table = "sluice_control"
	Conns = 2
)

var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// A Store is a control.Store in a table, which is made by the first write: to read it, a
// role needs no right to create anything. The caller closes the database.
type Store struct {
	db    *sql.DB
	table string
	name  string
	mode  any // goes before each statement's arguments, if not nil
}

// New returns the store of a table, which is named as name in errors.
func New(db *sql.DB, table, name string) *Store {
	return &Store{db: db, table: table, name: name, mode: sqlconn.Mode(db)}
}

// Valid reports whether a table may have this name, which may have a schema.
func Valid(table string) bool { return name.MatchString(table) }

// Beside returns the default table in the schema of another.
func Beside(table string) string {
	if schema, _, ok := strings.Cut(table, "."); ok {
		return schema + "." + Table
	}
	return Table
}

// String names the store.
func (s *Store) String() string { return s.name }

// Load implements control.Store.
func (s *Store) Load(ctx context.Context) (map[string]string, error) {
	texts, err := sqlconn.On(ctx, s.db, func(conn *sql.Conn) (map[string]string, error) { return s.load(ctx, conn) })
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", s.table, err)
	}
	return texts, nil
}

func (s *Store) load(ctx context.Context, conn *sql.Conn) (texts map[string]string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT queue, state FROM "+s.table, s.args()...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	texts = make(map[string]string)
	for rows.Next() {
		var queue, text string
		if err := rows.Scan(&queue, &text); err != nil {
			return nil, err
		}
		texts[queue] = text
	}
	return texts, rows.Err()
}

// absent reports whether err says that there is no such table, or no such schema.
func absent(err error) bool {
	if err == nil {
		return false
	}
	switch sqlconn.State(err) {
	case "42P01", "3F000": // undefined_table, invalid_schema_name
		return true
	case "":
		return strings.Contains(err.Error(), "no such table") // SQLite has no code for it
	default:
		return false
	}
}

// busyTries is how often a write is tried on a SQLite file that another transaction holds.
// Each try waits as long as the database is set to.
const busyTries = 3

// Swap implements control.Store. A handler in a transaction of the idempotency store is the
// one writer of a SQLite file, and the next begins when it ends: the operator who would pause
// the queue competes with them.
func (s *Store) Swap(ctx context.Context, queue, old, text string) (bool, error) {
	var n int64
	var err error
	for try := 1; ; try++ {
		if n, err = s.swap(ctx, queue, old, text); absent(err) {
			if err = s.create(ctx); err == nil {
				n, err = s.swap(ctx, queue, old, text)
			}
		}
		if !busy(err) || try == busyTries || ctx.Err() != nil {
			break
		}
	}
	switch {
	case busy(err):
		return false, fmt.Errorf("write table %s: handlers have their transactions in this file, one after the other: try again, or keep the states in another store (service.control): %w", s.table, err)
	case err != nil:
		return false, fmt.Errorf("write table %s: %w", s.table, err)
	}
	return n == 1, nil
}

// busy reports whether another transaction holds a SQLite file.
func busy(err error) bool {
	var e interface{ Code() int }
	return errors.As(err, &e) && e.Code()&0xff == 5 // SQLITE_BUSY
}

func (s *Store) swap(ctx context.Context, queue, old, text string) (int64, error) {
	if old == "" {
		return s.exec(ctx, "INSERT INTO "+s.table+" (queue, state) VALUES ($1, $2) ON CONFLICT (queue) DO NOTHING", queue, text)
	}
	return s.exec(ctx, "UPDATE "+s.table+" SET state = $2 WHERE queue = $1 AND state = $3", queue, text, old)
}

// create makes the table.
func (s *Store) create(ctx context.Context) error {
	_, err := s.exec(ctx, "CREATE TABLE IF NOT EXISTS "+s.table+" (queue text NOT NULL PRIMARY KEY, state text NOT NULL)")
	if sqlconn.ConcurrentMigration(err) {
		return nil
	}
	return err
}

// args puts the driver's options before a statement's arguments.
func (s *Store) args(args ...any) []any {
	if s.mode == nil {
		return args
	}
	return append([]any{s.mode}, args...)
}

// exec runs a statement and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return sqlconn.On(ctx, s.db, func(conn *sql.Conn) (int64, error) {
		res, err := conn.ExecContext(ctx, query, s.args(args...)...)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}
