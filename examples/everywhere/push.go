package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/internal/test/pushtest"
)

// pushed is the stage of an endpoint that Pub/Sub pushes to, with tokens as the
// service has them, signed by somebody else's key.
func pushed(ctx context.Context, h guarded, log *slog.Logger) (_ *stage, err error) {
	const name, email = "everywhere-push", "pusher@everywhere.iam.gserviceaccount.com"
	queue, addr, stop, err := onPubSub(ctx, name)
	if err != nil {
		return nil, err
	}
	s, source, err := opened(ctx, queue, stop)
	if err != nil {
		return nil, err
	}
	closers := []func() error{s.close, source.Close}
	s.close = func() (err error) {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	sub, err := (&pubsub.Opener{}).OpenPush(ctx, queue, nil)
	if err != nil {
		return nil, err
	}
	closers = append(closers, sub.Close)
	key, err := pushtest.NewKey("1", jose.RS256)
	if err != nil {
		return nil, err
	}
	issuer, err := pushtest.NewIssuer(key)
	if err != nil {
		return nil, err
	}
	closers = append(closers, issuer.Close)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	endpoint := "http://" + l.Addr().String() + "/invoices"
	push, err := pubsubpush.New(h.Handler, &pubsubpush.Config{
		Subscription: sub, Audiences: []string{endpoint}, Emails: []string{email}, KeysURL: issuer.URL(), Logger: log,
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/invoices", push)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	closers = append(closers, server.Close)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	pump := &pushtest.Pump{
		Addr: addr, Subscription: subscription(name), Endpoint: endpoint,
		Token: func() (string, error) { return issuer.Token(endpoint, email) },
	}
	s.run = pump.Run
	closers = append(closers, func() error {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return s, nil
}
