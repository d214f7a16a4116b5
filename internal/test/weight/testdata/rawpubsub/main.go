// Command rawpubsub receives from a subscription by the SDK alone.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"cloud.google.com/go/pubsub/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := pubsub.NewClient(ctx, os.Args[1])
	if err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
	err = c.Subscriber(os.Args[2]).Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		fmt.Println(string(m.Data))
		m.Ack()
	})
	if err != nil {
		slog.Error("stopped", "error", err)
		os.Exit(1)
	}
}
