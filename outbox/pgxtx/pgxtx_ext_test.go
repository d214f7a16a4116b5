package pgxtx_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/pgxtx"
)

func setup(t *testing.T) (*pgxpool.Pool, *outbox.Table) {
	t.Helper()
	url := testserver.Postgres(t).URL
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	table, err := outbox.New(db, outbox.PostgreSQL, nil)
	require.NoError(t, err)
	require.NoError(t, table.Migrate(t.Context()))
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, table
}

func TestARowLivesAndDiesWithItsTransaction(t *testing.T) {
	t.Parallel()
	pool, table := setup(t)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		first, second := &handler.Message{Body: []byte("kept"), Attributes: map[string]string{"k": "v"}}, new(handler.Message)
		wrote, err := table.SendUnique(t.Context(), pgxtx.Tx(tx), "q", "key", first)
		require.NoError(t, err)
		require.True(t, wrote)
		wrote, err = table.SendUnique(t.Context(), pgxtx.Tx(tx), "q", "key", second)
		require.NoError(t, err)
		require.False(t, wrote)
		require.Equal(t, first.ID, second.ID)
		return table.Send(t.Context(), pgxtx.Tx(tx), "q", &handler.Message{Body: []byte("kept too"), Delay: time.Hour})
	}))
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, table.Send(t.Context(), pgxtx.Tx(tx), "q", new(handler.Message)))
	require.NoError(t, tx.Rollback(t.Context()))
	entries, err := table.Pending(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Equal(t, "kept", string(entries[0].Message.Body))
	require.Equal(t, "v", entries[0].Message.Attribute("k"))
	require.WithinDuration(t, time.Now().Add(time.Hour), entries[1].Due, time.Minute)
}

// A receive that waits with a long poll interval returns when a transaction notifies.
func TestNotifyWakesAReceive(t *testing.T) {
	t.Parallel()
	pool, table := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := table.Source(&outbox.SourceConfig{Poll: 20 * time.Second, Wake: pgxtx.Listen(ctx, pool)})
	require.NoError(t, err)
	defer s.Close()
	got := make(chan int, 1)
	go func() {
		for {
			ds, err := s.Receive(ctx, 1, 20*time.Second)
			if err != nil || len(ds) > 0 {
				got <- len(ds)
				return
			}
		}
	}()
	begin := time.Now()
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := table.Send(t.Context(), pgxtx.Tx(tx), "q", new(handler.Message)); err != nil {
			return err
		}
		return pgxtx.Notify(t.Context(), pgxtx.Tx(tx))
	}))
	require.Equal(t, 1, <-got)
	require.Less(t, time.Since(begin), 15*time.Second)
}
