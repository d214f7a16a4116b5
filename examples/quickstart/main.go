package main

import (
	"context"

	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

type Order struct{ ID, Customer string }

func main() {
	s, err := service.New(nil, &service.Options{Mux: all.Mux(), OpenStore: open.URL, Telemetry: telemetry.Setup})
	if err != nil {
		service.Exit(err)
	}
	s.Handle("orders", handler.Typed(handler.JSON, charge))
	service.Exit(s.Run(context.Background())) // until SIGTERM, then drained
}

// charge returns nil when it is done. An error is a retry, handler.Reject(err) a dead letter.
func charge(ctx context.Context, _ *handler.Message, o Order) error {
	_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO charges VALUES ($1, $2)", o.ID, o.Customer)
	return err
}
