// Package pgxtx lets programs that use pgx without database/sql write into an outbox. It is
// a package of its own so that programs on other databases do not link pgx.
package pgxtx

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/outbox"
)

// Tx returns an outbox transaction that writes in tx. It may be used as tx may: not
// concurrently.
func Tx(tx pgx.Tx) outbox.Tx { return wrapped{tx} }

type wrapped struct{ tx pgx.Tx }

func (w wrapped) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := w.tx.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return result{tag}, nil
}

// ScanRow reads the first row of a query.
func (w wrapped) ScanRow(ctx context.Context, query string, args []any, dest ...any) error {
	err := w.tx.QueryRow(ctx, query, args...).Scan(dest...)
	if errors.Is(err, pgx.ErrNoRows) {
		return sql.ErrNoRows
	}
	return err
}

type result struct{ tag pgconn.CommandTag }

func (r result) LastInsertId() (int64, error) { return 0, errors.ErrUnsupported }
func (r result) RowsAffected() (int64, error) { return r.tag.RowsAffected(), nil }

// Channel is the channel of PostgreSQL's LISTEN and NOTIFY on which [Notify] signals and
// [Listen] waits.
const Channel = "sluice_outbox"

// Notify wakes relays when tx commits, so that they look for due rows at
// that moment and not after their poll interval. PostgreSQL serializes the commits of
// transactions that notify, so a program with thousands of them a second should poll.
func Notify(ctx context.Context, tx outbox.Tx) error {
	_, err := tx.ExecContext(ctx, "SELECT pg_notify('"+Channel+"', '')")
	return err
}

// Listen returns a channel for [outbox.SourceConfig.Wake] that receives whenever [Notify]
// was called. It holds one connection of the pool until ctx is done, and takes another when
// that fails; the relay polls meanwhile.
func Listen(ctx context.Context, pool *pgxpool.Pool) <-chan struct{} {
	wake := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			if err := listen(ctx, pool, wake); err != nil {
				_ = sleep.For(ctx, time.Second)
			}
		}
	}()
	return wake
}

func listen(ctx context.Context, pool *pgxpool.Pool, wake chan<- struct{}) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// The connection listens for ever, so it does not go back to the pool.
	raw := conn.Hijack()
	defer raw.Close(context.WithoutCancel(ctx))
	if _, err := raw.Exec(ctx, "LISTEN "+Channel); err != nil {
		return err
	}
	for {
		select { // rows may have come before the connection listened
		case wake <- struct{}{}:
		default:
		}
		if _, err := raw.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
