// Package sqlstore keeps the idempotency middleware's keys in a SQL database,
// PostgreSQL or SQLite. Times are counted by the database's clock.
//
// It has two forms. [Store] is an [idempotency.Store] as the others are. Better,
// if the handler's effect is in the same database: [Transactional] gives the
// handler a transaction, in which effect and mark commit together. Then there is
// exactly one effect, whatever crashes when.
//
// # Connections
//
// An error of a connection need not mean that the database is down: after a failover
// the pool's connections are broken, or lead to a server that is now read-only. Each
// statement is then tried with another connection, and those that failed are closed.
// Limit the pool: as many open and idle connections as there are concurrent handlers,
// one more for [Transactional], and a lifetime (SetConnMaxLifetime), so that
// connections follow a move of the database that causes no error. Handlers wait for a
// connection; a message that waits too long is postponed.
//
// # Poolers
//
// PgBouncer and others in transaction mode work: with pgx, statements of this package
// are not prepared by name, whatever the connection's own mode. That mode is for the
// handler's statements in [Transactional]: behind a pooler, open the database with
// default_query_exec_mode=exec. With lib/pq, use binary_parameters=yes.
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/sqlconn"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/internal/controlsql"
)

// A Dialect is a database's flavour of SQL.
type Dialect uint8

// The dialects.
const (
	// PostgreSQL from version 11 on.
	PostgreSQL Dialect = iota + 1
	// SQLite from version 3.42 on. The file's journal should be in WAL mode, and
	// a busy timeout set.
	SQLite
)

// Config of a [Store]. The zero Config works.
type Config struct {
	// Table is the table's name, of letters, digits and underscores, with a
	// optional schema before it. Empty means "sluice_idempotency".
	Table string
}

// Store is an [idempotency.Store] in a SQL table. It may be used concurrently.
type Store struct {
	db      *sql.DB
	table   string
	dialect Dialect
	queries queries
	mode    any // goes before each statement's arguments, if not nil
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New returns a store on db. A nil config is the zero [Config]. It does no IO:
// call [Store.Migrate] once, at start-up, to make the table. The caller closes
// db.
func New(db *sql.DB, dialect Dialect, c *Config) (*Store, error) {
	s := &Store{db: db, dialect: dialect, table: cmp.Or(setting.Copy(c).Table, "sluice_idempotency")}
	if err := errors.Join(
		setting.Refuse(db == nil, "the database is nil"),
		setting.Refuse(dialect != PostgreSQL && dialect != SQLite, "dialect %d is neither PostgreSQL nor SQLite", dialect),
		setting.Refuse(!tableName.MatchString(s.table), "Table is %q: it must be a name of letters, digits and underscores", s.table),
	); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	s.queries = newQueries(dialect, s.table)
	s.mode = sqlconn.Mode(db)
	return s, nil
}

// String names the database and the table.
func (s *Store) String() string { return s.database() + " table " + s.table }

// database names the kind of database.
func (s *Store) database() string {
	if s.dialect == SQLite {
		return "SQLite"
	}
	return "PostgreSQL"
}

// Control returns the control store in the same database: the table "sluice_control" in
// the schema of s's own. The first write makes it.
func (s *Store) Control() control.Store {
	table := controlsql.Beside(s.table)
	return controlsql.New(s.db, table, s.database()+" table "+table)
}

// Migrate makes the table and its index, and changes nothing if they exist. Several
// processes may call it at the same time. A role that may use the table but not create
// one can call it too.
func (s *Store) Migrate(ctx context.Context) error {
	for _, q := range s.queries.migrate {
		_, err := s.exec(ctx, q)
		if err != nil && !sqlconn.ConcurrentMigration(err) && !(sqlconn.State(err) == insufficientPrivilege && s.usable(ctx)) {
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
	_, _, err := s.look(ctx, s.db, "")
	return err == nil || errors.Is(err, sql.ErrNoRows)
}

// A querier is a *sql.DB, *sql.Conn or *sql.Tx.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// args puts the driver's options before a statement's arguments.
func (s *Store) args(args ...any) []any {
	if s.mode == nil || len(args) == 0 {
		return args
	}
	return append([]any{s.mode}, args...)
}

// exec runs a statement and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return sqlconn.On(ctx, s.db, func(conn *sql.Conn) (int64, error) { return s.execOn(ctx, conn, query, args...) })
}

func (s *Store) execOn(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, query, s.args(args...)...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// look reads a key: whether its claim is done or in progress, and the remaining
// time.
func (s *Store) look(ctx context.Context, q querier, key string) (c idempotency.Claim, left time.Duration, err error) {
	var (
		done   bool
		millis int64
	)
	err = q.QueryRowContext(ctx, s.queries.look, s.args(key)...).Scan(&done, &millis, &c.Result)
	left = time.Duration(millis) * time.Millisecond
	if c.State = idempotency.Done; !done {
		c.State, c.Remaining = idempotency.InProgress, left
	}
	return c, left, err
}

// Cleanup removes expired keys, limit at most in one go, so that it never locks
// much; it returns how many. Call it periodically, each time until it returns
// less than limit. A limit of zero or less means 1000.
func (s *Store) Cleanup(ctx context.Context, limit int) (int64, error) {
	if limit <= 0 {
		limit = 1000
	}
	n, err := s.exec(ctx, s.queries.cleanup, limit)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: clean up table %s: %w", s.table, err)
	}
	return n, nil
}

// Claim implements [idempotency.Store].
func (s *Store) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	c, err := sqlconn.On(ctx, s.db, func(conn *sql.Conn) (idempotency.Claim, error) { return s.claimOn(ctx, conn, key, token, ttl) })
	if err != nil {
		return idempotency.Claim{}, fmt.Errorf("sqlstore: claim: %w", err)
	}
	return c, nil
}

func (s *Store) claimOn(ctx context.Context, q querier, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	// The row may go between the two statements; then the key is free after all.
	for range 3 {
		switch n, err := s.execOn(ctx, q, s.queries.claim, key, token, ttl.Milliseconds()); {
		case err != nil:
			return idempotency.Claim{}, err
		case n == 1:
			return idempotency.Claim{State: idempotency.Claimed}, nil
		}
		switch c, left, err := s.look(ctx, q, key); {
		case errors.Is(err, sql.ErrNoRows), err == nil && left <= 0:
			continue
		case err != nil:
			return idempotency.Claim{}, err
		default:
			return c, nil
		}
	}
	return idempotency.Claim{}, errors.New("the key changed under each of three attempts")
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
	if _, err := s.exec(ctx, s.queries.release, key, token); err != nil {
		return fmt.Errorf("sqlstore: release: %w", err)
	}
	return nil
}

func (s *Store) owned(ctx context.Context, op, query string, args ...any) error {
	switch n, err := s.exec(ctx, query, args...); {
	case err != nil:
		return fmt.Errorf("sqlstore: %s: %w", op, err)
	case n == 0:
		return idempotency.ErrClaimLost
	default:
		return nil
	}
}

// index is the name of the table's index: a schema is not part of it.
func index(table string) string {
	return table[strings.LastIndex(table, ".")+1:] + "_expires"
}
