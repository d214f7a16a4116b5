// Command send sends the order in its first argument, as JSON, to the queue orders of
// sluice.yaml.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/service"
)

func main() {
	service.Exit(send(context.Background(), []byte(os.Args[1])))
}

func send(ctx context.Context, body []byte) error {
	orders, err := service.OpenProducer(ctx, nil, all.Mux(), "orders", nil)
	if err != nil {
		return err
	}
	return errors.Join(orders.Send(ctx, &handler.Message{Body: body, DedupeID: string(body)}), orders.Close())
}
