package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// servers are where queues are made: the endpoint of an SQS server, empty for one
// in this process, and the URL of a NATS server, empty for none.
type servers struct{ sqs, nats string }

// runtimes are all that the servers allow.
func runtimes(on servers) []runtime {
	rs := []runtime{
		{"consumer on sqlite", func(ctx context.Context, h guarded, dir string, log *slog.Logger) (*stage, error) {
			url := "sqlite://" + filepath.ToSlash(filepath.Join(dir, "queue.db")) + "?queue=invoices&max_attempts=20"
			return consumed(ctx, url, h, log, nil)
		}},
		{"consumer on SQS", func(ctx context.Context, h guarded, _ string, log *slog.Logger) (*stage, error) {
			url, _, stop, err := onSQS(ctx, on.sqs, "everywhere-consumer")
			if err != nil {
				return nil, err
			}
			return consumed(ctx, url, h, log, stop)
		}},
		{"consumer on Pub/Sub", func(ctx context.Context, h guarded, _ string, log *slog.Logger) (*stage, error) {
			url, _, stop, err := onPubSub(ctx, "everywhere-consumer")
			if err != nil {
				return nil, err
			}
			return consumed(ctx, url, h, log, stop)
		}},
		{"Lambda", func(ctx context.Context, _ guarded, dir string, log *slog.Logger) (*stage, error) {
			return invoked(ctx, on.sqs, dir, log)
		}},
		{"Pub/Sub push", func(ctx context.Context, h guarded, _ string, log *slog.Logger) (*stage, error) {
			return pushed(ctx, h, log)
		}},
	}
	if on.nats != "" {
		rs = append(rs, runtime{"NATS by gocloud", func(ctx context.Context, h guarded, _ string, log *slog.Logger) (*stage, error) {
			return bridged(ctx, on.nats, h, log)
		}})
	}
	return rs
}

// consumed is the stage of the consumer on the queue of a URL. stop, if not nil,
// is called at its end.
func consumed(ctx context.Context, url string, h guarded, log *slog.Logger, stop func() error) (*stage, error) {
	s, source, err := opened(ctx, url, stop)
	if err != nil {
		return nil, err
	}
	c, err := consumer.New(source, h.Handler, &consumer.Config{Concurrency: 8, Gates: h.gates, Logger: log})
	if err != nil {
		return nil, errors.Join(err, source.Close(), s.close())
	}
	s.run = c.Run // which closes the source
	return s, nil
}

// opened opens the queue of a URL: a stage that nothing runs yet, and a source
// for what will.
func opened(ctx context.Context, url string, stop func() error) (*stage, drivers.Source, error) {
	var closers []func() error
	if stop != nil {
		closers = append(closers, stop)
	}
	closeAll := func() (err error) {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		return err
	}
	mux := all.Mux()
	sink, err := mux.OpenSink(ctx, url, nil)
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	watch, err := mux.OpenSource(ctx, url, nil)
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	closers = append(closers, watch.Close)
	source, err := mux.OpenSource(ctx, url, nil)
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	return &stage{sink: sink, close: closeAll, letters: func(ctx context.Context) ([]*handler.Message, error) {
		return watch.(drivers.Inspector).Peek(ctx, 10, true)
	}}, source, nil
}

// onSQS makes a queue and its dead-letter queue on the SQS server at endpoint,
// or on one that it starts, and returns where that is.
func onSQS(ctx context.Context, endpoint, name string) (url, at string, stop func() error, err error) {
	if endpoint == "" {
		server, err := sqstest.NewServer(nil)
		if err != nil {
			return "", "", nil, err
		}
		stop = server.Close
		for _, v := range server.Env() {
			key, value, _ := strings.Cut(v, "=")
			if err := os.Setenv(key, value); err != nil {
				return "", "", nil, errors.Join(err, stop())
			}
		}
		endpoint = server.URL()
	}
	url = "awssqs:///" + name + "?endpoint=" + endpoint
	return url, endpoint, stop, apply(ctx, url, name, stop)
}

// onPubSub starts a Pub/Sub server, makes a queue and its dead-letter queue, and
// returns where that is.
func onPubSub(ctx context.Context, name string) (url, at string, stop func() error, err error) {
	server, err := pubsubtest.Start("127.0.0.1:0")
	if err != nil {
		return "", "", nil, err
	}
	if err := os.Setenv("PUBSUB_EMULATOR_HOST", server.Addr()); err != nil {
		return "", "", nil, errors.Join(err, server.Close())
	}
	url = "gcppubsub://" + subscription(name)
	return url, server.Addr(), server.Close, apply(ctx, url, name, server.Close)
}

func subscription(name string) string { return "projects/everywhere/subscriptions/" + name }

// apply makes a queue.
func apply(ctx context.Context, url, name string, stop func() error) error {
	_, err := admin.Apply(ctx, all.Mux(), admin.Target{Name: name, URL: url, Spec: &provision.Spec{
		VisibilityTimeout: 30 * time.Second, DeadLetter: &provision.DeadLetter{MaxAttempts: 20},
	}}, false)
	if err != nil && stop != nil {
		err = errors.Join(err, stop())
	}
	return err
}
