// Command push is a Cloud Run service that handles what a Pub/Sub push
// subscription pushes to /push. See its README.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/handler"
)

func main() {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	if err := serve(ctx, logger, os.Getenv); err != nil {
		logger.Error("push ended", "error", err)
		os.Exit(1)
	}
}

// serve serves until ctx is done, and then lets the handlers finish.
func serve(ctx context.Context, logger *slog.Logger, env func(string) string) error {
	config := &pubsubpush.Config{Logger: logger, Insecure: env("PUSH_INSECURE") == "true"}
	if !config.Insecure {
		config.Audiences, config.Emails = []string{env("PUSH_AUDIENCE")}, []string{env("PUSH_EMAIL")}
	}
	if queue := env("QUEUE_URL"); queue != "" {
		subscription, err := (&pubsub.Opener{}).OpenPush(ctx, queue, nil)
		if err != nil {
			return err
		}
		defer func() { _ = subscription.Close() }()
		config.Subscription = subscription
	}
	endpoint, err := pubsubpush.New(handler.Typed(handler.JSON, func(ctx context.Context, m *handler.Message, o order) error {
		logger.InfoContext(ctx, "order", "id", o.ID, "cents", o.Cents, "attempt", m.Attempt)
		return nil
	}), config)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/push", endpoint)
	addr := "127.0.0.1:8080"
	if port := env("PORT"); port != "" { // Cloud Run says where
		addr = ":" + port
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
	ctx, end := context.WithCancel(ctx)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-ctx.Done()
		// Cloud Run kills ten seconds after SIGTERM.
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 9*time.Second)
		defer cancel()
		_ = server.Shutdown(drain) // what is cut off is pushed again
	}()
	logger.Info("listening", "addr", l.Addr().String())
	err = server.Serve(l)
	end()
	<-drained // Serve returns when the draining begins
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

type order struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}
