package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// failed are ways in which all connections of a pool fail together, while new ones
// are good.
var failed = map[string]func(t *testing.T, db *sql.DB){
	// The server has become a replica (25006).
	"read-only": func(t *testing.T, db *sql.DB) {
		db.SetMaxIdleConns(-1) // closes what is idle
		name := current(t, db)
		alter(t, db, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
		db.SetMaxIdleConns(-1)
		fill(t, db, 12)
		alter(t, db, "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	},
	// The server is shut down and started (57P01).
	"terminated": func(t *testing.T, db *sql.DB) {
		fill(t, db, 12)
		alter(t, db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	},
}

func current(t *testing.T, db *sql.DB) (name string) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name))
	return name
}

// alter runs statements on a connection that is thrown away.
func alter(t *testing.T, db *sql.DB, q string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "SET default_transaction_read_only = off")
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), q)
	require.NoError(t, err)
	require.Error(t, conn.Raw(func(any) error { return driver.ErrBadConn }))
}

// fill has the pool keep n idle connections.
func fill(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	db.SetMaxIdleConns(20)
	conns := make([]*sql.Conn, n)
	for i := range conns {
		var err error
		conns[i], err = db.Conn(t.Context())
		require.NoError(t, err)
	}
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	require.GreaterOrEqual(t, db.Stats().Idle, n)
}

func TestAFailoverCostsNoCall(t *testing.T) {
	t.Parallel()
	for name, fail := range failed {
		t.Run(name, func(t *testing.T) {
			db := openPostgres(t)
			s := newPostgresStore(t, db)
			l := newLedger(t, db)
			mw, err := sqlstore.Transactional(s, nil)
			require.NoError(t, err)
			gate := handler.GatesOf(mw)[0]
			for what, call := range map[string]func() error{
				"claim": func() error { return oneLife(s, "k") },
				"renew": func() error {
					_, err := s.Claim(t.Context(), "r", "t", time.Minute)
					fail(t, db)
					return errors.Join(err, s.Renew(t.Context(), "r", "t", time.Minute))
				},
				"complete": func() error {
					_, err := s.Claim(t.Context(), "c", "t", time.Minute)
					fail(t, db)
					return errors.Join(err, s.Complete(t.Context(), "c", "t", nil, time.Minute))
				},
				"release":  func() error { return s.Release(t.Context(), "k", "t") },
				"clean-up": func() error { _, err := s.Cleanup(t.Context(), 0); return err },
				"migrate":  func() error { return s.Migrate(t.Context()) },
				"transaction": func() error {
					return mw(l).Handle(t.Context(), &handler.Message{ID: "m", DedupeID: "m"})
				},
			} {
				t.Run(what, func(t *testing.T) {
					fail(t, db)
					require.NoError(t, call())
				})
			}
			require.Equal(t, 1, l.effects(t))
			n, _ := gate.Admit(1)
			require.Equal(t, 1, n, "the gate is open")
		})
	}
}

// A connection that ends under a handler ends its transaction: the message was not
// at fault, and its effect is not there.
func TestAConnectionThatIsLostUnderAHandlerCostsNoAttempt(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	l := newLedger(t, db)
	lose := func(ctx context.Context) error {
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	}
	mw, err := sqlstore.Transactional(s, nil)
	require.NoError(t, err)
	h := mw(l)
	m := &handler.Message{ID: "m", DedupeID: "m"}
	for name, after := range map[string]func(ctx context.Context) error{
		"the handler says so": lose,
		"the handler does not notice": func(ctx context.Context) error {
			_ = lose(ctx)
			return nil
		},
		"the handler hides it": func(ctx context.Context) error {
			_ = lose(ctx)
			return errors.New("no")
		},
		"the handler's error panics": func(ctx context.Context) error {
			_ = lose(ctx)
			return codedError("")
		},
	} {
		l.after = after
		v := handler.VerdictOf(handleFree(t, h, m))
		require.True(t, v.Postponed, "%s: %+v", name, v)
		require.Zero(t, l.effects(t))
	}
	l.after = func(context.Context) error { return errors.New("its own") }
	err = handleFree(t, h, m)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
	require.False(t, handler.VerdictOf(err).Postponed, "a failure of the handler: %v", err)
	l.after = nil
	require.NoError(t, h.Handle(t.Context(), m))
	require.Equal(t, 1, l.effects(t))
}

// handleFree handles a message when the backend of an earlier transaction, which
// holds its key, has ended.
func handleFree(t *testing.T, h handler.Handler, m *handler.Message) (err error) {
	t.Helper()
	require.Eventually(t, func() bool {
		err = h.Handle(t.Context(), m)
		return err == nil || !strings.Contains(err.Error(), "another transaction holds the key")
	}, time.Minute, 10*time.Millisecond)
	return err
}

// While the server can't be written to, the gate is closed, though it can be read.
func TestAServerThatStaysReadOnlyClosesTheGate(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	l := newLedger(t, db)
	name := current(t, db)
	alter(t, db, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	db.SetMaxIdleConns(-1)
	mw, err := sqlstore.Transactional(s, nil)
	require.NoError(t, err)
	idem, err := idempotency.New(s, nil)
	require.NoError(t, err)
	for _, mw := range []handler.Middleware{mw, idem} {
		gate := handler.GatesOf(mw)[0]
		h := mw(l)
		for range 30 {
			v := handler.VerdictOf(h.Handle(t.Context(), &handler.Message{ID: "m", DedupeID: "m"}))
			require.True(t, v.Postponed)
		}
		n, _ := gate.Admit(1)
		require.Zero(t, n)
		require.Contains(t, gate.(handler.GateReason).Reason(), "read-only")
	}
	require.Zero(t, l.runs.Load())
}

// Connections break in ways that only their driver knows.
func TestABrokenPipeCostsNoCall(t *testing.T) {
	t.Parallel()
	server := testserver.Postgres(t)
	pooler := startPooler(t, server)
	db, err := sql.Open("pgx", pooler.URL())
	require.NoError(t, err)
	defer db.Close()
	s := newPostgresStore(t, db)
	for i := range 5 {
		fill(t, db, 3)
		pooler.Drop()
		require.NoError(t, oneLife(s, fmt.Sprint("k", i)))
	}
}

// With fewer connections than handlers, these wait for one.
func TestHandlersWaitForAConnection(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	db.SetMaxOpenConns(2)
	s := newPostgresStore(t, db)
	l := newLedger(t, db)
	mw, err := sqlstore.Transactional(s, nil)
	require.NoError(t, err)
	h := mw(l)
	errs := make(chan error, 40)
	for i := range cap(errs) {
		go func() { errs <- h.Handle(context.Background(), &handler.Message{DedupeID: fmt.Sprint(i)}) }()
	}
	var postponed atomic.Int32
	for range cap(errs) {
		if err := <-errs; err != nil {
			require.True(t, handler.VerdictOf(err).Postponed, "%v", err)
			postponed.Add(1)
		}
	}
	require.Equal(t, cap(errs), int(postponed.Load())+l.effects(t))
	require.LessOrEqual(t, db.Stats().OpenConnections, 2)
}
