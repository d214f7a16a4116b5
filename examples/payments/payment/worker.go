package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/middleware/timeout"
)

// A Charger charges a payment, once for each ID however often it is asked.
type Charger interface {
	Charge(ctx context.Context, p Payment) (reference string, err error)
}

// Schema is the ledger's table. The primary key is the last line of defence: a
// second row of one payment cannot be.
const Schema = `CREATE TABLE IF NOT EXISTS ledger (
	payment   text   NOT NULL PRIMARY KEY,
	account   text   NOT NULL,
	cents     bigint NOT NULL,
	currency  text   NOT NULL,
	reference text   NOT NULL
)`

// Handler charges payments and writes them into the ledger. It must run within
// sqlstore.Transactional.
func Handler(gateway Charger) handler.Handler {
	return handler.Typed(handler.JSON, func(ctx context.Context, _ *handler.Message, p Payment) error {
		if err := p.Validate(); err != nil {
			return handler.Reject(err)
		}
		tx := sqlstore.Tx(ctx)
		if tx == nil {
			return errors.New("the handler must run within sqlstore.Transactional")
		}
		reference, err := gateway.Charge(ctx, p)
		switch {
		case errors.Is(err, ErrDeclined):
			return handler.Reject(err)
		case err != nil:
			return fmt.Errorf("charge payment %s: %w", p.ID, err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO ledger (payment, account, cents, currency, reference) VALUES ($1, $2, $3, $4, $5)`,
			p.ID, p.Account, p.Cents, p.Currency, reference)
		return err
	})
}

// Limits of one attempt.
const (
	attemptTimeout = 10 * time.Second
	retryMin       = 100 * time.Millisecond
	retryMax       = 5 * time.Second
)

// Worker returns the handler in its middleware, and the gates of that for the
// consumer: receiving stops while the ledger is down. It makes the tables in db if
// they do not exist.
func Worker(ctx context.Context, db *sql.DB, dialect sqlstore.Dialect, gateway Charger, log *slog.Logger) (handler.Handler, []handler.Gate, error) {
	store, err := sqlstore.New(db, dialect, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, nil, err
	}
	if _, err := db.ExecContext(ctx, Schema); err != nil {
		return nil, nil, fmt.Errorf("ledger: %w", err)
	}
	config := &sqlstore.TxConfig{BusyRetry: time.Second}
	config.Logger = log
	config.RetryMax = retryMax
	once, err := sqlstore.Transactional(store, config)
	if err != nil {
		return nil, nil, err
	}
	retry, err := backoff.New(&backoff.Config{
		Min: retryMin, Max: retryMax,
		Permanent: []string{"400", "422"}, // the gateway refuses the charge itself
	})
	if err != nil {
		return nil, nil, err
	}
	limit, err := timeout.New(attemptTimeout, nil)
	if err != nil {
		return nil, nil, err
	}
	beat, err := heartbeat.New(nil)
	if err != nil {
		return nil, nil, err
	}
	return handler.Chain(Handler(gateway), once, retry, limit, beat), handler.GatesOf(once), nil
}
