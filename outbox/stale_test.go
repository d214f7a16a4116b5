package outbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// A stale database has closed the first connections that were opened.
type stale struct {
	closed, opened int
	commit         error // of commits
	commits        int
}

func (s *stale) Driver() driver.Driver          { return s }
func (*stale) Open(string) (driver.Conn, error) { return nil, errors.ErrUnsupported }

func (s *stale) Connect(context.Context) (driver.Conn, error) {
	s.opened++
	return &staleConn{s, s.opened <= s.closed}, nil
}

// fill leaves the pool with n connections that are closed.
func (s *stale) fill(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	db.SetMaxIdleConns(-1)
	db.SetMaxIdleConns(n)
	s.closed = s.opened + n
	conns := make([]*sql.Conn, n)
	for i := range conns {
		var err error
		conns[i], err = db.Conn(t.Context())
		require.NoError(t, err)
	}
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	require.Equal(t, n, db.Stats().Idle)
}

type staleConn struct {
	*stale
	dead bool
}

func (*staleConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (*staleConn) Close() error                        { return nil }
func (*staleConn) Rollback() error                     { return nil }

func (c *staleConn) Begin() (driver.Tx, error) {
	if c.dead {
		return nil, driver.ErrBadConn
	}
	return c, nil
}

func (c *staleConn) Commit() error {
	c.commits++
	return c.commit
}

func (c *staleConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	if c.dead {
		return nil, driver.ErrBadConn
	}
	return driver.RowsAffected(1), nil
}

// A late database says so at the first statement of a transaction.
type late struct{ stale }

func (l *late) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := l.stale.Connect(ctx)
	return lateConn{c.(*staleConn)}, err
}

type lateConn struct{ *staleConn }

func (c lateConn) Begin() (driver.Tx, error) { return c, nil }

// writes are the calls that write in transactions of their own.
func writes(t *testing.T, table *Table) map[string]func(ctx context.Context) error {
	many := make([]*handler.Message, 150)
	for i := range many {
		many[i] = &handler.Message{Body: []byte("x")}
	}
	sink, err := table.Sink("q")
	require.NoError(t, err)
	clocks, err := newTickers(table, []Schedule{{Name: "s", Every: time.Second, Queue: "q"}}, nil)
	require.NoError(t, err)
	return map[string]func(ctx context.Context) error{
		"send":      func(ctx context.Context) error { return table.Send(ctx, nil, "q", many[0]) },
		"send many": func(ctx context.Context) error { return table.Send(ctx, nil, "q", many...) },
		"unique": func(ctx context.Context) error {
			_, err := table.SendUnique(ctx, nil, "q", "k", many[0])
			return err
		},
		"debounce": func(ctx context.Context) error {
			_, err := table.Debounce(ctx, nil, "q", "k", many[0])
			return err
		},
		"sink": func(ctx context.Context) error { return errors.Join(sink.Send(ctx, many[:2])...) },
		"schedule": func(ctx context.Context) error {
			return clocks[0].make(ctx, time.UnixMilli(0), time.UnixMilli(1000), []time.Time{time.UnixMilli(1000)})
		},
	}
}

// Statements on the pool itself are repeated by database/sql.
func TestStaleConnectionsCostNoMessage(t *testing.T) {
	t.Parallel()
	s, l := new(stale), new(late)
	for name, of := range map[string]struct {
		connector driver.Connector
		s         *stale
	}{"begin": {s, s}, "statement": {l, &l.stale}} {
		db := sql.OpenDB(of.connector)
		defer db.Close()
		table, err := New(db, PostgreSQL, nil)
		require.NoError(t, err)
		for call, write := range writes(t, table) {
			for _, n := range []int{1, 5} {
				of.s.fill(t, db, n)
				require.NoError(t, write(t.Context()), "%s: %s, %d connections", name, call, n)
			}
		}
	}
}

// A driver may say that a commit never reached the server, although it did.
func TestACommitIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"send many", "schedule"} {
		s := &stale{commit: driver.ErrBadConn}
		db := sql.OpenDB(s)
		defer db.Close()
		table, err := New(db, PostgreSQL, nil)
		require.NoError(t, err)
		require.ErrorIs(t, writes(t, table)[call](t.Context()), driver.ErrBadConn)
		require.Equal(t, 1, s.commits, call)
	}
}
