package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud/natscloud"
	"github.com/sluice-go/sluice/handler"
)

// bridged is the stage of the consumer on NATS, which Sluice has no driver for
// and gocloud.dev has. NATS redelivers nothing and keeps nothing for who comes
// later: retries are copies, and the letters' reader is there from the start.
func bridged(ctx context.Context, server string, h guarded, log *slog.Logger) (_ *stage, err error) {
	const subject, letters = "everywhere-invoices", "nats://everywhere-invoices-dlq?queue=readers"
	opener := &natscloud.Opener{URL: server}
	mux := drivers.NewMux(opener)
	closers := []func() error{opener.Close}
	s := &stage{close: func() (err error) {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		return err
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	dead, err := mux.OpenSource(ctx, letters+"&retry=none", nil)
	if err != nil {
		return nil, err
	}
	closers = append(closers, dead.Close)
	source, err := mux.OpenSource(ctx, "nats://"+subject+"?queue=workers&retry=republish&dead_letter="+url.QueryEscape("nats://everywhere-invoices-dlq"), nil)
	if err != nil {
		return nil, err
	}
	c, err := consumer.New(source, h.Handler, &consumer.Config{Concurrency: 8, Gates: h.gates, Logger: log})
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	s.run = c.Run // which closes the source
	if s.sink, err = mux.OpenSink(ctx, "nats://"+subject, nil); err != nil {
		return nil, errors.Join(err, source.Close())
	}
	var mu sync.Mutex
	var all []*handler.Message
	s.letters = func(ctx context.Context) ([]*handler.Message, error) {
		mu.Lock()
		defer mu.Unlock()
		ds, err := dead.Receive(ctx, 10, 10*time.Millisecond)
		for _, d := range ds {
			all = append(all, d.Message)
			err = errors.Join(err, errors.Join(dead.Settle(ctx, []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}})...))
		}
		return all, err
	}
	return s, nil
}
