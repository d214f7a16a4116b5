package crashtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// The environment of a worker.
const (
	envQueue   = "CRASHTEST_QUEUE"   // its URL; that it is set makes the process a worker
	envStore   = "CRASHTEST_STORE"   // the idempotency store's URL
	envEffects = "CRASHTEST_EFFECTS" // PostgreSQL with the table effects: transactional
	envHistory = "CRASHTEST_HISTORY" // the file for the history: claims
	envTakes   = "CRASHTEST_TAKES"   // how long a handler takes
)

func TestMain(m *testing.M) {
	for env, run := range map[string]func(context.Context) error{envOutbox: relaying, envSchedule: replica} {
		if os.Getenv(env) == "" {
			continue
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := run(ctx)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if queue := os.Getenv(envQueue); queue != "" {
		if err := work(queue); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// poison is the body of a message that must end in the dead-letter queue.
const poison = "poison"

// work is the worker's main.
func work(queue string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	source, err := all.Mux().OpenSource(ctx, queue, nil)
	if err != nil {
		return err
	}
	if os.Getenv(envKilled) != "" {
		return killed(ctx, source)
	}
	store, err := open.URL(ctx, os.Getenv(envStore))
	if err != nil {
		return errors.Join(err, source.Close())
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	takes, err := time.ParseDuration(os.Getenv(envTakes))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var (
		h    handler.Handler
		once handler.Middleware
	)
	if os.Getenv(envEffects) != "" {
		h = effects(takes)
		c := &sqlstore.TxConfig{BusyRetry: 500 * time.Millisecond}
		c.Namespace, c.RetryMax, c.Logger = "crashtest", time.Second, log
		once, err = sqlstore.Transactional(store.SQL, c)
	} else {
		var file *os.File
		file, err = os.OpenFile(os.Getenv(envHistory), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		h = history(file, takes)
		once, err = idempotency.New(store, &idempotency.Config{Namespace: "crashtest", RetryMax: time.Second, Logger: log})
		if err == nil {
			once = unmarked(file, once)
		}
	}
	if err != nil {
		return err
	}
	retry, err := backoff.New(&backoff.Config{Min: 50 * time.Millisecond, Max: time.Second})
	if err != nil {
		return err
	}
	beat, err := heartbeat.New(nil)
	if err != nil {
		return err
	}
	c, err := consumer.New(source, handler.Chain(h, once, retry, beat), &consumer.Config{Concurrency: 4, MaxPollers: 1, Logger: log})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// effects writes a row a message, in the transaction that marks it.
func effects(takes time.Duration) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if string(m.Body) == poison {
			return handler.Reject(errors.New("it is poison"))
		}
		if _, err := sqlstore.Tx(ctx).ExecContext(ctx, `INSERT INTO effects (id) VALUES ($1)`, m.DedupeID); err != nil {
			return err
		}
		return sleep.For(ctx, takes)
	})
}

// history writes when a message's handler begins and ends. A line is one write,
// so that a kill leaves whole lines.
func history(file *os.File, takes time.Duration) handler.Handler {
	line := func(what string, m *handler.Message) error { return note(file, what, m) }
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if string(m.Body) == poison {
			return handler.Reject(errors.New("it is poison"))
		}
		if err := line("begin", m); err != nil {
			return err
		}
		if err := sleep.For(ctx, takes); err != nil {
			return errors.Join(err, line("failed", m))
		}
		return line("end", m)
	})
}

// unmarked writes into the history what was handled and could not be marked: a
// worker that got no processor for longer than its lease finds its claim taken.
func unmarked(file *os.File, once handler.Middleware) handler.Middleware {
	return func(next handler.Handler) handler.Handler {
		guarded := once(next)
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			err := guarded.Handle(ctx, m)
			if err != nil && strings.Contains(err.Error(), "handled, but not marked") {
				return errors.Join(err, note(file, "unmarked", m))
			}
			return err
		})
	}
}

func note(file *os.File, what string, m *handler.Message) error {
	_, err := fmt.Fprintf(file, "%d %d %s %s\n", time.Now().UnixNano(), os.Getpid(), what, m.DedupeID)
	return err
}

// count runs a query that returns a number.
func count(ctx context.Context, db *sql.DB, query string) (int, error) {
	var n int
	err := db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// id is the n-th message's own.
func id(n int) string { return "m" + strconv.Itoa(n) }
