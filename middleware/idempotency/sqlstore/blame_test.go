package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/middleware/timeout"
)

// A message at which its handler fails spends an attempt, so that it is dead-lettered in
// the end. That the database rolled its transaction back, or that its connection went
// with the handler's time, is not an outage of the store.
func TestAFailureOfTheHandlerSpendsAnAttempt(t *testing.T) {
	t.Parallel()
	exec := func(ctx context.Context, q string) error {
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, q)
		return err
	}
	hidden := func(q string) func(t *testing.T, ctx context.Context, _ *sql.DB) error {
		return func(t *testing.T, ctx context.Context, _ *sql.DB) error {
			require.Error(t, exec(ctx, q))
			return nil
		}
	}
	for _, c := range []struct {
		name  string
		after func(t *testing.T, ctx context.Context, db *sql.DB) error
		limit time.Duration // of the handler
	}{
		{name: "its time ends during a statement", limit: 100 * time.Millisecond, after: func(_ *testing.T, ctx context.Context, _ *sql.DB) error {
			return exec(ctx, "SELECT pg_sleep(60)")
		}},
		{name: "it hides the error of a statement", after: hidden("SELECT 1/0")},
		{name: "it hides a violation", after: hidden("INSERT INTO effects (id) VALUES (NULL)")},
		{name: "it ends the transaction", after: func(_ *testing.T, ctx context.Context, _ *sql.DB) error {
			return sqlstore.Tx(ctx).Rollback()
		}},
		{name: "it idles for longer than the database allows", after: func(t *testing.T, ctx context.Context, db *sql.DB) error {
			idle(t, ctx, db)
			return nil
		}},
		{name: "it idles, and returns the error of its next statement", after: func(t *testing.T, ctx context.Context, db *sql.DB) error {
			idle(t, ctx, db)
			err := exec(ctx, "INSERT INTO effects (id) VALUES ('late')")
			require.ErrorContains(t, err, "25P03")
			return fmt.Errorf("late: %w", err)
		}},
		{name: "it idles, and returns an error of its own", after: func(t *testing.T, ctx context.Context, db *sql.DB) error {
			idle(t, ctx, db)
			return errors.New("its own")
		}},
		{name: "its transaction lasts for longer than the database allows", after: func(t *testing.T, ctx context.Context, _ *sql.DB) error {
			require.Error(t, exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())"))
			return codedError("25P04") // of PostgreSQL 17
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := openPostgres(t)
			l := newLedger(t, db)
			l.after = func(ctx context.Context) error { return c.after(t, ctx, db) }
			mw, err := sqlstore.Transactional(newPostgresStore(t, db), nil)
			require.NoError(t, err)
			h := handler.Handler(l)
			if c.limit > 0 {
				limit, err := timeout.New(c.limit, nil)
				require.NoError(t, err)
				h = limit(h)
			}
			err = mw(h).Handle(t.Context(), &handler.Message{ID: "m"})
			v := handler.VerdictOf(err)
			require.Equal(t, handler.ActionRetry, v.Action)
			require.False(t, v.Postponed, "%v", err)
			n, _ := handler.GatesOf(mw)[0].Admit(1)
			require.Equal(t, 1, n, "the store answers")
			require.Zero(t, l.effects(t))
		})
	}
}

// codedError is an error with a code of PostgreSQL. Without one, its method panics.
type codedError string

func (e codedError) Error() string { return "code " + string(e) }

func (e codedError) SQLState() string {
	if e == "" {
		panic("no code")
	}
	return string(e)
}

// idle has the server end the handler's session, because its transaction idles.
func idle(t *testing.T, ctx context.Context, db *sql.DB) {
	t.Helper()
	_, err := sqlstore.Tx(ctx).ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = 50")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var n int
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'").Scan(&n)
		return err == nil && n == 0
	}, time.Minute, 10*time.Millisecond)
}

// connector opens SQLite by a driver of its own, which may have functions of its own.
type connector struct {
	own *sqlite.Driver
	dsn string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.own.Open(c.dsn) }

func (c connector) Driver() driver.Driver { return c.own }

// SQLite ends the transaction with the statement that is interrupted.
func TestAnInterruptedTransactionSpendsAnAttempt(t *testing.T) {
	t.Parallel()
	var running context.CancelFunc // the statement calls it
	own := &sqlite.Driver{}
	require.NoError(t, own.RegisterScalarFunction("running", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		running()
		return int64(1), nil
	}))
	db := sql.OpenDB(connector{own: own, dsn: sqliteDSN(t.TempDir() + "/k.db")})
	defer db.Close()
	l := newLedger(t, db)
	l.after = func(ctx context.Context) error {
		short, end := context.WithCancel(ctx)
		defer end()
		running = end
		_, err := sqlstore.Tx(ctx).ExecContext(short, "WITH RECURSIVE c(x) AS (SELECT running() UNION ALL SELECT x+1 FROM c) INSERT INTO effects SELECT 'z' FROM c WHERE x < 0")
		require.ErrorIs(t, err, context.Canceled)
		return nil
	}
	err := transactional(t, newSQLiteStore(t, db), l, nil).Handle(t.Context(), &handler.Message{ID: "m"})
	v := handler.VerdictOf(err)
	require.Equal(t, handler.ActionRetry, v.Action)
	require.False(t, v.Postponed, "%v", err)
	require.Zero(t, l.effects(t))
}

// A trigger that is deferred to the commit may refuse the handler's effect with any code. Only
// those of the server are an outage.
func TestTheCodeOfACommitSaysWhoseFailureItIs(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	l := newLedger(t, db)
	_, err := db.ExecContext(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused' USING ERRCODE = NEW.id; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	for _, c := range []struct {
		name              string
		codes             []string
		postponed, outage bool
	}{
		{name: "the transaction's", codes: []string{
			"P0001", // of RAISE EXCEPTION without a code
			"0A000", "21000", "22012", "23514", "2F003", "42501", "42P01", "44000", "55000", "57014", "U0001",
		}},
		{name: "another transaction's", codes: []string{"40001", "40P01"}, postponed: true},
		{name: "the server's", codes: []string{"08006", "25006", "53100", "57P01", "57P03", "58030", "XX000"}, postponed: true, outage: true},
	} {
		for _, code := range c.codes {
			t.Run(c.name+"/"+code, func(t *testing.T) {
				mw, err := sqlstore.Transactional(s, nil)
				require.NoError(t, err)
				err = mw(l).Handle(t.Context(), &handler.Message{ID: "m", DedupeID: code})
				require.ErrorContains(t, err, "commit: ")
				require.ErrorContains(t, err, code)
				v := handler.VerdictOf(err)
				require.Equal(t, handler.ActionRetry, v.Action)
				require.Equal(t, c.postponed, v.Postponed, "%v", err)
				n, _ := handler.GatesOf(mw)[0].Admit(1)
				require.Equal(t, c.outage, n == 0, "the gate admits %d", n)
			})
		}
	}
	require.Zero(t, l.effects(t))
}

// A transaction that another one made impossible can succeed right after. It is neither
// the message's failure nor the store's.
func TestAConflictAtTheCommitIsPutOff(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	serializable := &sql.TxOptions{Isolation: sql.LevelSerializable}
	mw, err := sqlstore.Transactional(newPostgresStore(t, db), &sqlstore.TxConfig{Options: serializable})
	require.NoError(t, err)
	newLedger(t, db)
	// Two that count all effects and add one cannot both be first.
	add := func(ctx context.Context, tx *sql.Tx) error {
		var n int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM effects").Scan(&n)
		_, ierr := tx.ExecContext(ctx, "INSERT INTO effects VALUES ('e')")
		return errors.Join(err, ierr)
	}
	between := func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, serializable)
		if err != nil {
			return err
		}
		return errors.Join(add(ctx, tx), tx.Commit())
	}
	h := mw(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		if err := add(ctx, sqlstore.Tx(ctx)); err != nil {
			return err
		}
		return between(ctx)
	}))
	err = h.Handle(t.Context(), &handler.Message{ID: "m"})
	require.ErrorContains(t, err, "40001")
	require.True(t, handler.VerdictOf(err).Postponed, "%v", err)
	n, _ := handler.GatesOf(mw)[0].Admit(1)
	require.Equal(t, 1, n, "the store answers")
	between = func(context.Context) error { return nil }
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "m"}))
}
