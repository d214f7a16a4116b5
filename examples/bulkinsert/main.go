// Command bulkinsert consumes orders from a queue and inserts them into
// PostgreSQL, hundreds in a statement.
//
//	QUEUE_URL=awssqs:///orders DATABASE_URL=postgres://localhost/shop go run ./examples/bulkinsert
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/examples/bulkinsert/order"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
)

// The batches. Concurrency is what bounds them: each message of a batch that
// gathers takes one of the consumer's slots, and two batches' worth let one
// gather while the other is written.
const (
	batchCount  = 500
	batchBytes  = 4 << 20
	batchWait   = 100 * time.Millisecond
	concurrency = 2 * batchCount
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	source, err := all.Mux().OpenSource(ctx, os.Getenv("QUEUE_URL"), nil)
	if err == nil {
		err = run(ctx, source, os.Getenv("DATABASE_URL"), consumer.Config{Logger: log})
	}
	if err != nil {
		log.Error("bulkinsert", "error", err)
		os.Exit(1)
	}
}

// run consumes until ctx is done; it closes the source.
func run(ctx context.Context, source drivers.Source, database string, c consumer.Config) (err error) {
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return errors.Join(fmt.Errorf("DATABASE_URL: %w", err), source.Close())
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, order.Schema); err != nil {
		return errors.Join(fmt.Errorf("make the table: %w", err), source.Close())
	}
	bulk, err := handler.Batch(&order.Writer{DB: pool}, &handler.BatchConfig{
		MaxCount: batchCount, MaxBytes: batchBytes, MaxWait: batchWait,
	})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	stack, err := middleware.Standard(&middleware.Config{Logger: c.Logger})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	c.Concurrency, c.Gates = concurrency, stack.Gates()
	run, err := consumer.New(source, stack.Handler(bulk), &c)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	return run.Run(ctx)
}
