// Command sqs receives from the queue at a URL.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	source, err := drivers.NewMux(&sqs.Opener{}).OpenSource(ctx, os.Args[1], nil)
	if err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
	c, err := consumer.New(source, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		fmt.Println(string(m.Body))
		return nil
	}), nil)
	if err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
	if err := c.Run(ctx); err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
}
