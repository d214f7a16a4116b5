// Command payments takes payments over HTTP, answers immediately, and charges each
// exactly once; see package payment for what that rests on.
//
// With no arguments it shows the whole: it starts the endpoint, a worker and a
// fake gateway that fails now and then, on an embedded queue in a temporary
// directory, posts payments, some of them twice, and prints what was charged:
//
//	go run ./examples/payments
//
// In production the roles are processes of their own, which the URLs connect:
//
//	payments -role api    -queue awssqs:///payments -listen 127.0.0.1:8080
//	payments -role worker -queue awssqs:///payments -ledger postgres://… -gateway https://…
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/examples/payments/payment"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/producer"
)

// options are the command line's.
type options struct {
	role, queue, ledger, gateway, listen string
	payments                             int
	overloaded                           int64
	patience                             time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.role, "role", "demo", "demo, api or worker")
	flag.StringVar(&o.queue, "queue", "", "URL of the queue")
	flag.StringVar(&o.ledger, "ledger", "", "postgres://… or the path of a SQLite file")
	flag.StringVar(&o.gateway, "gateway", "", "URL of the payment gateway")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the endpoint")
	flag.IntVar(&o.payments, "payments", 60, "how many payments the demo posts")
	flag.Int64Var(&o.overloaded, "overloaded", 100_000, "answer 429 while so many payments wait")
	flag.DurationVar(&o.patience, "patience", 2*time.Second, "how long the gateway may take to answer")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := run(ctx, o, os.Stdout, log); err != nil {
		log.Error("payments", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer, log *slog.Logger) error {
	switch o.role {
	case "api":
		return api(ctx, o, nil)
	case "worker":
		return worker(ctx, o, log)
	case "demo":
		return demo(ctx, o, out, log)
	default:
		return fmt.Errorf("-role %s: it is demo, api or worker", o.role)
	}
}

// api serves the endpoint until ctx is done. It calls ready with its address.
func api(ctx context.Context, o options, ready func(addr string)) (err error) {
	queues := all.Mux()
	sink, err := queues.OpenSink(ctx, o.queue, nil)
	if err != nil {
		return err
	}
	c := &producer.Config{}
	watched, err := queues.OpenSource(ctx, o.queue, nil)
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer func() { err = errors.Join(err, watched.Close()) }()
	if i, ok := watched.(drivers.Inspector); ok {
		c.Pressure = &producer.Pressure{Inspector: i, High: o.overloaded, Overload: producer.Refuse}
	}
	p, err := producer.New(sink, c)
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	if ready != nil {
		ready(l.Addr().String())
	}
	return serve(ctx, l, payment.Endpoint(p))
}

// serve serves h until ctx is done, and lets requests end.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		drained <- server.Shutdown(end)
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-drained // Serve returns when the draining begins
}

// worker charges payments until ctx is done.
func worker(ctx context.Context, o options, log *slog.Logger) (err error) {
	db, dialect, err := openLedger(o.ledger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	gateway := &payment.Client{URL: o.gateway, HTTP: &http.Client{Timeout: o.patience}}
	h, gates, err := payment.Worker(ctx, db, dialect, gateway, log)
	if err != nil {
		return err
	}
	source, err := all.Mux().OpenSource(ctx, o.queue, nil)
	if err != nil {
		return err
	}
	c, err := consumer.New(source, h, &consumer.Config{Concurrency: 8, Gates: gates, Logger: log})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	return c.Run(ctx)
}

func openLedger(ledger string) (*sql.DB, sqlstore.Dialect, error) {
	if strings.HasPrefix(ledger, "postgres://") || strings.HasPrefix(ledger, "postgresql://") {
		db, err := sql.Open("pgx", ledger)
		return db, sqlstore.PostgreSQL, err
	}
	db, err := sql.Open("sqlite", "file:"+ledger+"?_pragma=busy_timeout(3000)&_pragma=journal_mode(wal)&_txlock=immediate")
	return db, sqlstore.SQLite, err
}

// demo runs everything in one process and prints what came of it.
func demo(ctx context.Context, o options, out io.Writer, log *slog.Logger) (err error) {
	dir, err := os.MkdirTemp("", "sluice-payments-")
	if err != nil {
		return err
	}
	if o.queue == "" {
		o.queue = "sqlite://" + filepath.ToSlash(dir) + "/queue.db?queue=payments&visibility_timeout=10s&max_attempts=50"
	}
	if o.ledger == "" {
		o.ledger = filepath.Join(dir, "ledger.db")
	}
	gateway := &payment.FakeGateway{FailEvery: 4, Late: time.Second}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	o.gateway, o.listen = "http://"+l.Addr().String(), "127.0.0.1:0"
	// SQLite has one writer, and a payment that waits for the gateway is it.
	o.patience = 200 * time.Millisecond

	ctx, stop := context.WithCancel(ctx)
	address := make(chan string, 1)
	ended := make(chan error, 3)
	for _, part := range []func() error{
		func() error { return serve(ctx, l, gateway) },
		func() error { return api(ctx, o, func(addr string) { address <- addr }) },
		func() error { return worker(ctx, o, log) },
	} {
		go func() {
			defer stop() // without one of them the others are of no use
			ended <- part()
		}()
	}
	defer func() {
		stop()
		for range cap(ended) {
			err = errors.Join(err, <-ended)
		}
	}()
	var addr string
	select {
	case addr = <-address:
	case <-ctx.Done():
		return ctx.Err()
	}
	posted, err := post(ctx, addr, o.payments)
	if err != nil {
		return err
	}
	rows, err := awaitLedger(ctx, o.ledger, o.payments)
	if err != nil {
		return err
	}
	charges, calls, twice := gateway.Charged()
	_, err = fmt.Fprintf(out, "posted %d payments in %d requests\nledger: %d rows\ngateway: %d charges in %d calls, %d payments charged twice\n",
		o.payments, posted, rows, charges, calls, len(twice))
	return err
}

// post posts n payments, every third of them twice, as an impatient client does.
func post(ctx context.Context, addr string, n int) (requests int, err error) {
	client := &http.Client{Timeout: 10 * time.Second}
	for i := range n {
		p := payment.Payment{ID: fmt.Sprintf("pay_%04d", i), Account: "acme", Cents: int64(100 + i), Currency: "EUR"}
		body, err := json.Marshal(p)
		if err != nil {
			return requests, err
		}
		for range 1 + (i%3)/2 {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/payments", bytes.NewReader(body))
			if err != nil {
				return requests, err
			}
			resp, err := client.Do(req)
			if err != nil {
				return requests, err
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				return requests, fmt.Errorf("payment %s: the endpoint answers %s", p.ID, resp.Status)
			}
			requests++
		}
	}
	return requests, nil
}

// awaitLedger waits until the ledger has n rows.
func awaitLedger(ctx context.Context, ledger string, n int) (int, error) {
	db, _, err := openLedger(ledger)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var rows int
		// The worker makes the table, so that at first there may be none.
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM ledger`).Scan(&rows); err == nil && rows >= n {
			return rows, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}
