// Command quickstart is the handler of the README: it handles what comes on the
// queue that the environment names, whatever the provider.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
)

// Order is what the messages' bodies hold, as JSON.
type Order struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	source, err := all.Mux().OpenSource(ctx, os.Getenv("QUEUE_URL"), nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := consumer.New(source, handler.Typed(handler.JSON, charge), nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Run(ctx); err != nil { // until SIGTERM, then drained
		log.Fatal(err)
	}
}

func charge(_ context.Context, m *handler.Message, o Order) error {
	log.Printf("order %s: %d cents, attempt %d", o.ID, o.Cents, m.Attempt)
	return nil // done; an error is a retry, handler.Reject(err) a dead letter
}
