package pgxtx_test

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/pgxtx"
)

// The order and its message commit together, or not at all.
func ExampleTx() {
	place := func(ctx context.Context, pool *pgxpool.Pool, box *outbox.Table, id string) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO orders (id) VALUES ($1)", id); err != nil {
				return err
			}
			return box.Send(ctx, pgxtx.Tx(tx), "orders", &handler.Message{Body: []byte(id)})
		})
	}
	_ = place // called by an HTTP handler
	// Output:
}
