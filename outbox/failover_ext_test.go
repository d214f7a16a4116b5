package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
	"github.com/sluice-go/sluice/outbox"
)

// demote fills the pool with connections to a server that may not be written to any more,
// as after a failover. New connections lead to one that may.
func demote(t *testing.T, db *sql.DB, d outbox.Dialect) {
	t.Helper()
	set := map[outbox.Dialect]string{
		outbox.PostgreSQL: "SET default_transaction_read_only = on",
		outbox.MySQL:      "SET SESSION TRANSACTION READ ONLY",
	}[d]
	const n = 8
	db.SetMaxIdleConns(n)
	conns := make([]*sql.Conn, n)
	for i := range conns {
		var err error
		conns[i], err = db.Conn(t.Context())
		require.NoError(t, err)
		_, err = conns[i].ExecContext(t.Context(), set)
		require.NoError(t, err)
	}
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
}

// The pool would give out a connection that refuses all writes again and again, until it
// is half an hour old.
func TestAFailoverCostsNoMessage(t *testing.T) {
	t.Parallel()
	for _, d := range []outbox.Dialect{outbox.PostgreSQL, outbox.MySQL} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			db, table := open(t, d)
			message := func() *handler.Message { return &handler.Message{Body: []byte("x")} }
			many := make([]*handler.Message, 150)
			for i := range many {
				many[i] = message()
			}
			sink, err := table.Sink("sink")
			require.NoError(t, err)
			source, err := table.Source(&outbox.SourceConfig{Queues: []string{"one"}})
			require.NoError(t, err)
			for _, c := range []struct {
				name string
				call func(ctx context.Context) error
			}{
				{"send", func(ctx context.Context) error { return table.Send(ctx, nil, "one", message()) }},
				{"send many", func(ctx context.Context) error { return table.Send(ctx, nil, "many", many...) }},
				{"unique", func(ctx context.Context) error {
					_, err := table.SendUnique(ctx, nil, "unique", "k", message())
					return err
				}},
				{"debounce", func(ctx context.Context) error {
					_, err := table.Debounce(ctx, nil, "debounce", "k", message())
					return err
				}},
				{"sink", func(ctx context.Context) error {
					for _, err := range sink.Send(ctx, []*handler.Message{message()}) {
						return err
					}
					return nil
				}},
				{"receive", func(ctx context.Context) error {
					ds, err := source.Receive(ctx, 1, time.Minute)
					if err == nil && len(ds) != 1 {
						err = fmt.Errorf("%d messages", len(ds))
					}
					return err
				}},
			} {
				demote(t, db, d)
				require.NoError(t, c.call(t.Context()), c.name)
			}
			backlog, err := table.Backlog(t.Context())
			require.NoError(t, err)
			got := make(map[string]int64)
			for _, b := range backlog {
				got[b.Queue] = b.Due + b.Sending
			}
			require.Equal(t, map[string]int64{"one": 1, "many": 150, "unique": 1, "debounce": 1, "sink": 1}, got)

			demote(t, db, d)
			post := new(post)
			run(t, table, &outbox.RelayConfig{Open: post.open, Source: &outbox.SourceConfig{Queues: []string{"tick"}},
				Schedules: []outbox.Schedule{{Name: "tick", Every: time.Second, Queue: "tick"}}})
			post.receive(t, "tick", 2)
		})
	}
}

// A relay whose host is gone, or frozen, leaves its transaction open. PostgreSQL ends it, so
// that the other relays don't wait for its locks until TCP keepalive finds out.
func TestAFrozenRelayHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	// frozen returns a table by a line that can die, and the same by another.
	frozen := func(t *testing.T) (*sql.DB, *outbox.Table, *outbox.Table, *swallow.Line) {
		server := testserver.Postgres(t).URL
		direct, err := sql.Open("pgx", server)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, direct.Close()) })
		u, line := swallow.URL(t, server)
		db, err := sql.Open("pgx", u.String())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		own, err := outbox.New(db, outbox.PostgreSQL, nil)
		require.NoError(t, err)
		other, err := outbox.New(direct, outbox.PostgreSQL, nil)
		require.NoError(t, err)
		require.NoError(t, other.Migrate(t.Context()))
		return direct, own, other, line
	}
	// waits returns when a session waits for the lock of another.
	waits := func(t *testing.T, db *sql.DB) {
		require.Eventually(t, func() bool {
			var n int
			err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
			return err == nil && n > 0
		}, time.Minute, 10*time.Millisecond)
	}
	t.Run("in a receive", func(t *testing.T) {
		t.Parallel()
		db, own, other, line := frozen(t)
		require.NoError(t, other.Send(t.Context(), nil, "q", &handler.Message{Body: []byte("x")}))
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "SELECT * FROM sluice_outbox FOR UPDATE")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		received := make(chan error, 1)
		go func() {
			source, err := own.Source(nil)
			if err == nil {
				_, err = source.Receive(ctx, 1, time.Second)
			}
			received <- err
		}()
		waits(t, db) // with the lock of receives
		line.Die()
		require.NoError(t, tx.Rollback())
		source, err := other.Source(nil)
		require.NoError(t, err)
		within, end := context.WithTimeout(t.Context(), 30*time.Second)
		defer end()
		ds, err := source.Receive(within, 1, time.Second)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		cancel()
		require.Error(t, <-received)
	})
	t.Run("in a schedule", func(t *testing.T) {
		t.Parallel()
		db, own, other, line := frozen(t)
		post := new(post)
		config := func() *outbox.RelayConfig {
			return &outbox.RelayConfig{Open: post.open, Logger: slog.New(slog.DiscardHandler),
				Schedules: []outbox.Schedule{{Name: "tick", Every: time.Second, Queue: "q", Overlap: outbox.OverlapSkip}}}
		}
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = other.SendUnique(t.Context(), tx, "q", "schedule:tick", new(handler.Message))
		require.NoError(t, err)
		r, err := outbox.NewRelay(own, config())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		waits(t, db) // with the lock of the schedule's row
		line.Die()
		require.NoError(t, tx.Rollback())
		run(t, other, config())
		post.receive(t, "q", 2)
		cancel()
		require.NoError(t, <-done)
	})
}

// MySQL's transactions see the rows of their beginning, and a key is not among them that
// was written since.
func TestAPendingKeyThatATransactionDoesNotSee(t *testing.T) {
	t.Parallel()
	db, table := open(t, outbox.MySQL)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var n int
	require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT count(*) FROM sluice_outbox").Scan(&n))
	first := &handler.Message{Body: []byte("1")}
	wrote, err := table.SendUnique(t.Context(), nil, "q", "k", first)
	require.NoError(t, err)
	require.True(t, wrote)
	second := &handler.Message{Body: []byte("2")}
	wrote, err = table.SendUnique(t.Context(), tx, "q", "k", second)
	require.NoError(t, err)
	require.False(t, wrote)
	require.Equal(t, first.ID, second.ID)
	require.NoError(t, tx.Commit())
}
