package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// ledger is a table of effects, and a handler that writes one in its transaction.
type ledger struct {
	db   *sql.DB
	runs atomic.Int32
	// after is called when the effect is written, before the handler returns.
	after func(ctx context.Context) error
}

func newLedger(t *testing.T, db *sql.DB) *ledger {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `CREATE TABLE effects (id text NOT NULL)`)
	require.NoError(t, err)
	return &ledger{db: db}
}

func (l *ledger) Handle(ctx context.Context, m *handler.Message) error {
	l.runs.Add(1)
	if _, err := sqlstore.Tx(ctx).ExecContext(ctx, `INSERT INTO effects (id) VALUES ($1)`, m.DedupeID); err != nil {
		return err
	}
	if l.after != nil {
		return l.after(ctx)
	}
	return nil
}

func (l *ledger) effects(t *testing.T) int {
	t.Helper()
	var n int
	require.NoError(t, l.db.QueryRowContext(t.Context(), `SELECT count(*) FROM effects`).Scan(&n))
	return n
}

func transactional(t *testing.T, s *sqlstore.Store, h handler.Handler, c *sqlstore.TxConfig) handler.Handler {
	t.Helper()
	mw, err := sqlstore.Transactional(s, c)
	require.NoError(t, err)
	return mw(h)
}

func TestEffectAndMarkCommitTogether(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		l := newLedger(t, db)
		var duplicates atomic.Int32
		h := transactional(t, s, l, &sqlstore.TxConfig{Config: idempotency.Config{
			OnDuplicate: func(context.Context, *handler.Message, []byte) error { duplicates.Add(1); return nil },
		}})
		for range 3 {
			require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "m", DedupeID: "payment-1"}))
		}
		require.Equal(t, 1, l.effects(t))
		require.EqualValues(t, 1, l.runs.Load())
		require.EqualValues(t, 2, duplicates.Load())
	})
}

func TestAFailureRollsBothBack(t *testing.T) {
	t.Parallel()
	lost := func(ctx context.Context) (context.Context, context.CancelCauseFunc) {
		return context.WithCancelCause(ctx)
	}
	boom := errors.New("boom")
	for _, c := range []struct {
		name  string
		after func(cancel context.CancelCauseFunc) error
		want  handler.Action
	}{
		{"error", func(context.CancelCauseFunc) error { return boom }, handler.ActionRetry},
		{"rejection", func(context.CancelCauseFunc) error { return handler.Reject(boom) }, handler.ActionDeadLetter},
		{"lease lost", func(cancel context.CancelCauseFunc) error { cancel(handler.ErrLeaseLost); return nil }, handler.ActionRetry},
		{"panic", func(context.CancelCauseFunc) error { panic("boom") }, handler.ActionRetry},
	} {
		t.Run(c.name, func(t *testing.T) {
			dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
				l := newLedger(t, db)
				ctx, cancel := lost(t.Context())
				defer cancel(nil)
				l.after = func(context.Context) error { return c.after(cancel) }
				h := transactional(t, s, l, nil)
				m := &handler.Message{ID: "m", DedupeID: "payment-1"}

				err := func() (err error) {
					defer func() {
						if p := recover(); p != nil {
							err = fmt.Errorf("panic: %v", p)
						}
					}()
					return h.Handle(ctx, m)
				}()
				require.Error(t, err)
				require.Equal(t, c.want, handler.VerdictOf(err).Action)
				require.Zero(t, l.effects(t))

				l.after = nil
				require.NoError(t, h.Handle(t.Context(), m), "the key is free again")
				require.Equal(t, 1, l.effects(t))
			})
		})
	}
}

func TestDropCommits(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		l := newLedger(t, db)
		l.after = func(context.Context) error { return handler.Drop(errors.New("old")) }
		h := transactional(t, s, l, nil)
		m := &handler.Message{DedupeID: "k"}
		require.Equal(t, handler.ActionDrop, handler.VerdictOf(h.Handle(t.Context(), m)).Action)
		require.NoError(t, h.Handle(t.Context(), m))
		require.Equal(t, 1, l.effects(t))
	})
}

func TestConcurrentDuplicatesHaveOneEffect(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		l := newLedger(t, db)
		h := transactional(t, s, l, nil)
		const messages, copies = 20, 8
		var wg sync.WaitGroup
		for c := range copies {
			wg.Go(func() {
				for i := range messages {
					m := &handler.Message{DedupeID: fmt.Sprint((i + c*3) % messages)}
					deadline := time.Now().Add(time.Minute)
					for { // as the queue would: until it is acked
						err := h.Handle(context.Background(), m)
						if err == nil {
							break
						}
						if v := handler.VerdictOf(err); v.Action != handler.ActionRetry || time.Now().After(deadline) {
							t.Errorf("message %s: %v", m.DedupeID, err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		require.Equal(t, messages, l.effects(t))
	})
}

func TestADuplicateOfAnOpenTransactionIsRetriedAtOnce(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	l := newLedger(t, db)
	inside, leave := make(chan struct{}), make(chan struct{})
	l.after = func(context.Context) error { close(inside); <-leave; return nil }
	h := transactional(t, s, l, &sqlstore.TxConfig{BusyRetry: time.Second})

	first := make(chan error, 1)
	go func() { first <- h.Handle(context.Background(), &handler.Message{DedupeID: "k"}) }()
	<-inside
	v := handler.VerdictOf(h.Handle(t.Context(), &handler.Message{DedupeID: "k"}))
	require.Equal(t, handler.ActionRetry, v.Action)
	require.True(t, v.Delayed)
	require.LessOrEqual(t, v.Delay, 1100*time.Millisecond)
	close(leave)
	require.NoError(t, <-first)
	require.EqualValues(t, 1, l.runs.Load())
}

func TestADatabaseThatIsDownIsARetry(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		l := newLedger(t, db)
		h := transactional(t, s, l, nil)
		require.NoError(t, db.Close())
		v := handler.VerdictOf(h.Handle(t.Context(), &handler.Message{DedupeID: "k"}))
		require.Equal(t, handler.ActionRetry, v.Action)
		require.True(t, v.Delayed)
		require.LessOrEqual(t, v.Delay, 30*time.Second)
		require.Zero(t, l.runs.Load())
	})
}

func TestKeyless(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		l := newLedger(t, db)
		require.ErrorIs(t, transactional(t, s, l, nil).Handle(t.Context(), &handler.Message{}), idempotency.ErrNoKey)
		require.Zero(t, l.effects(t))

		h := transactional(t, s, l, &sqlstore.TxConfig{Config: idempotency.Config{RunKeyless: true}})
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		require.Equal(t, 2, l.effects(t))
	})
}

func TestTxOutsideIsNil(t *testing.T) { require.Nil(t, sqlstore.Tx(t.Context())) }

func TestTransactionalRefuses(t *testing.T) {
	t.Parallel()
	_, err := sqlstore.Transactional(nil, nil)
	require.ErrorContains(t, err, "nil")
	s := newSQLiteStore(t, openSQLite(t, t.TempDir()+"/k.db"))
	_, err = sqlstore.Transactional(s, &sqlstore.TxConfig{BusyRetry: -1})
	require.ErrorContains(t, err, "BusyRetry")
	_, err = sqlstore.Transactional(s, &sqlstore.TxConfig{Config: idempotency.Config{DoneTTL: -1}})
	require.ErrorContains(t, err, "DoneTTL")
}

// A message whose context ends while it waits for a connection does not wait on.
func TestAWaitForAConnectionEndsWithTheMessage(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, t.TempDir()+"/k.db")
	db.SetMaxOpenConns(1)
	s := newSQLiteStore(t, db)
	inside, leave := make(chan struct{}), make(chan struct{})
	h := transactional(t, s, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		close(inside)
		<-leave
		return nil
	}), nil)
	first := make(chan error, 1)
	go func() { first <- h.Handle(context.Background(), &handler.Message{ID: "a"}) }()
	<-inside
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(handler.ErrLeaseLost) })
	err := h.Handle(ctx, &handler.Message{ID: "b"})
	require.ErrorIs(t, err, handler.ErrLeaseLost)
	require.True(t, handler.VerdictOf(err).Postponed)

	// And one that waits for longer than the database may take is put off, though
	// the database is up.
	quick := transactional(t, s, handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }),
		&sqlstore.TxConfig{Config: idempotency.Config{StoreTimeout: 100 * time.Millisecond}})
	err = quick.Handle(t.Context(), &handler.Message{ID: "c"})
	require.True(t, handler.VerdictOf(err).Postponed)
	require.ErrorContains(t, err, "no connection is free")
	close(leave)
	require.NoError(t, <-first)
	require.NoError(t, quick.Handle(t.Context(), &handler.Message{ID: "c"}))
}

// A database that is down closes the gate, and opens it when it is back.
func TestADatabaseThatIsDownClosesTheGate(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		mw, err := sqlstore.Transactional(s, nil)
		require.NoError(t, err)
		gates := handler.GatesOf(mw)
		require.Len(t, gates, 1)
		require.NoError(t, db.Close())
		err = mw(newNothing()).Handle(t.Context(), &handler.Message{ID: "m"})
		require.True(t, handler.VerdictOf(err).Postponed)
		n, reopened := gates[0].Admit(10)
		require.Zero(t, n)
		<-reopened
		require.Contains(t, gates[0].(handler.GateReason).Reason(), "table sluice_idempotency is down: ")
	})
}

func newNothing() handler.Handler {
	return handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
}
