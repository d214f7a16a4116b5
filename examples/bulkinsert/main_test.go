package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/examples/bulkinsert/order"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// TestEveryGoodOrderIsARowOnce has duplicates and orders that are refused, all
// over the batches.
func TestEveryGoodOrderIsARowOnce(t *testing.T) {
	const good, twice, bad = 2000, 100, 9
	database := testserver.Postgres(t).URL
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	mux := all.Mux()
	sink, err := mux.OpenSink(ctx, "mem://orders", nil)
	require.NoError(t, err)
	defer sink.Close()
	var ms []*handler.Message
	add := func(o order.Order) {
		b, err := json.Marshal(o)
		require.NoError(t, err)
		ms = append(ms, &handler.Message{Body: b})
	}
	for i := range good {
		o := order.Order{ID: fmt.Sprint("o", i), Customer: "ann", Cents: 100, PlacedAt: time.Unix(1_700_000_000, 0)}
		add(o)
		if i%(good/twice) == 0 {
			add(o)
		}
		if i%(good/bad) == good/bad-1 {
			o.ID, o.Cents = fmt.Sprint("bad", i), -1
			add(o)
		}
	}
	require.Len(t, ms, good+twice+bad)
	for chunk := range slices.Chunk(ms, sink.Capabilities().MaxSend) {
		require.Nil(t, sink.Send(ctx, chunk))
	}

	source, err := mux.OpenSource(ctx, "mem://orders", nil)
	require.NoError(t, err)
	require.NoError(t, run(ctx, source, database, consumer.Config{UntilEmpty: true}))

	pool, err := pgxpool.New(ctx, database)
	require.NoError(t, err)
	defer pool.Close()
	var rows, cents int64
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*), sum(cents) FROM orders").Scan(&rows, &cents))
	require.EqualValues(t, good, rows)
	require.EqualValues(t, good*100, cents)

	dead, err := mux.OpenSource(ctx, "mem://orders-dlq", nil)
	require.NoError(t, err)
	defer dead.Close()
	depth, err := dead.(drivers.Inspector).Depth(ctx)
	require.NoError(t, err)
	require.EqualValues(t, bad, depth.Visible)
}

func TestADatabaseThatIsNotThere(t *testing.T) {
	source, err := all.Mux().OpenSource(t.Context(), "mem://orders", nil)
	require.NoError(t, err)
	require.ErrorContains(t, run(t.Context(), source, "nonsense://", consumer.Config{}), "DATABASE_URL")
}
