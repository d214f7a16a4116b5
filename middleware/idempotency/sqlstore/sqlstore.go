// Package sqlstore keeps the idempotency middleware's keys in a SQL database,
// PostgreSQL or SQLite. Times are counted by the database's clock.
//
// It has two forms. [Store] is an [idempotency.Store] as the others are. Better,
// where the handler's effect is in the same database: [Transactional] gives the
// handler a transaction, in which effect and mark commit together. Then there is
// exactly one effect, whatever crashes when.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-go/sluice/middleware/idempotency"
)

// DefaultTable is the table's name where none is given.
const DefaultTable = "sluice_idempotency"

// A Dialect is a database's flavour of SQL.
type Dialect uint8

// The dialects.
const (
	// PostgreSQL from version 9.5 on.
	PostgreSQL Dialect = iota + 1
	// SQLite from version 3.42 on. The file's journal should be in WAL mode, and
	// a busy timeout set.
	SQLite
)

// Config of a [Store]. The zero Config works.
type Config struct {
	// Table is the table's name, of letters, digits and underscores, with a
	// schema before it where wanted. Empty means DefaultTable.
	Table string
}

// Store is an [idempotency.Store] in a SQL table. It may be used concurrently.
type Store struct {
	db      *sql.DB
	table   string
	dialect Dialect
	queries queries
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New returns a store on db. A nil config is the zero [Config]. It does no IO:
// call [Store.Migrate] once, at start-up, to make the table. The caller closes
// db.
func New(db *sql.DB, dialect Dialect, c *Config) (*Store, error) {
	s := &Store{db: db, dialect: dialect, table: DefaultTable}
	if c != nil && c.Table != "" {
		s.table = c.Table
	}
	var faults []error
	if db == nil {
		faults = append(faults, errors.New("sqlstore: the database is nil"))
	}
	if dialect != PostgreSQL && dialect != SQLite {
		faults = append(faults, fmt.Errorf("sqlstore: dialect %d is neither PostgreSQL nor SQLite", dialect))
	}
	if !tableName.MatchString(s.table) {
		faults = append(faults, fmt.Errorf("sqlstore: %q is no table name of letters, digits and underscores", s.table))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	s.queries = newQueries(dialect, s.table)
	return s, nil
}

// String names the database and the table.
func (s *Store) String() string {
	kind := "PostgreSQL"
	if s.dialect == SQLite {
		kind = "SQLite"
	}
	return kind + " table " + s.table
}

// Migrate makes the table and its index, and changes nothing if they exist.
// Several processes may call it at once. A role that may use the table and not
// make one can call it too.
func (s *Store) Migrate(ctx context.Context) error {
	for _, q := range s.queries.migrate {
		_, err := s.db.ExecContext(ctx, q)
		if err != nil && !concurrentMigration(err) && !(sqlState(err) == insufficientPrivilege && s.usable(ctx)) {
			return fmt.Errorf("sqlstore: migrate table %s: %w", s.table, err)
		}
	}
	return nil
}

// insufficientPrivilege is what PostgreSQL answers a role that may not create,
// before it looks whether there is anything to create.
const insufficientPrivilege = "42501"

// usable reports whether the table exists and can be read.
func (s *Store) usable(ctx context.Context) bool {
	var (
		done   bool
		left   int64
		result []byte
	)
	err := s.db.QueryRowContext(ctx, s.queries.look, "").Scan(&done, &left, &result)
	return err == nil || errors.Is(err, sql.ErrNoRows)
}

// concurrentMigration is PostgreSQL's answer to the loser of two concurrent
// CREATE … IF NOT EXISTS: the catalog's unique index, or the table's row type.
func concurrentMigration(err error) bool {
	switch sqlState(err) {
	case "23505", "42710", "42P07": // unique_violation, duplicate_object, duplicate_table
		return true
	default:
		return false
	}
}

// Cleanup removes expired keys, limit at most in one go, so that it never locks
// much; it returns how many. Call it now and then, until it returns less than
// limit. A limit of zero or less means 1000.
func (s *Store) Cleanup(ctx context.Context, limit int) (int64, error) {
	if limit <= 0 {
		limit = 1000
	}
	res, err := s.db.ExecContext(ctx, s.queries.cleanup, limit)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: clean up table %s: %w", s.table, err)
	}
	return res.RowsAffected()
}

// Claim implements [idempotency.Store].
func (s *Store) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	// The row may go between the two statements; then the key is free after all.
	for range 3 {
		res, err := s.db.ExecContext(ctx, s.queries.claim, key, token, ttl.Milliseconds())
		if err != nil {
			return idempotency.Claim{}, fmt.Errorf("sqlstore: claim: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil {
			return idempotency.Claim{}, fmt.Errorf("sqlstore: claim: %w", err)
		} else if n == 1 {
			return idempotency.Claim{State: idempotency.Claimed}, nil
		}
		var (
			done   bool
			left   int64
			result []byte
		)
		err = s.db.QueryRowContext(ctx, s.queries.look, key).Scan(&done, &left, &result)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return idempotency.Claim{}, fmt.Errorf("sqlstore: claim: %w", err)
		case left <= 0:
			continue
		case done:
			return idempotency.Claim{State: idempotency.Done, Result: result}, nil
		default:
			return idempotency.Claim{State: idempotency.InProgress, Remaining: time.Duration(left) * time.Millisecond}, nil
		}
	}
	return idempotency.Claim{}, errors.New("sqlstore: claim: the key changed under each of three attempts")
}

// Renew implements [idempotency.Store].
func (s *Store) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	return s.owned(ctx, "renew", s.queries.renew, key, token, ttl.Milliseconds())
}

// Complete implements [idempotency.Store].
func (s *Store) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	return s.owned(ctx, "complete", s.queries.complete, key, token, ttl.Milliseconds(), result)
}

// Release implements [idempotency.Store].
func (s *Store) Release(ctx context.Context, key, token string) error {
	if _, err := s.db.ExecContext(ctx, s.queries.release, key, token); err != nil {
		return fmt.Errorf("sqlstore: release: %w", err)
	}
	return nil
}

func (s *Store) owned(ctx context.Context, op, query string, args ...any) error {
	res, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("sqlstore: %s: %w", op, err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return fmt.Errorf("sqlstore: %s: %w", op, err)
	} else if n == 0 {
		return idempotency.ErrClaimLost
	}
	return nil
}

// sqlState is PostgreSQL's error code, of pgx or lib/pq, or "".
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// index is the name of the table's index: a schema is no part of it.
func index(table string) string {
	return table[strings.LastIndex(table, ".")+1:] + "_expires"
}
