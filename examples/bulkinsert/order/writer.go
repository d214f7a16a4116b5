package order

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluice-go/sluice/handler"
)

// Schema makes the table if it does not exist.
const Schema = `CREATE TABLE IF NOT EXISTS orders (
	id        text PRIMARY KEY,
	customer  text NOT NULL CHECK (customer <> ''),
	cents     bigint NOT NULL CHECK (cents > 0),
	placed_at timestamptz NOT NULL
)`

// insert takes a batch of any size in one statement with four parameters, so
// that it is prepared once. A row that is there already is a message that was
// delivered before: it is left as it is, which makes the handler idempotent.
const insert = `INSERT INTO orders (id, customer, cents, placed_at)
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])
	ON CONFLICT (id) DO NOTHING`

// A Writer is a handler.BatchHandler that inserts orders.
type Writer struct {
	DB *pgxpool.Pool
}

var _ handler.BatchHandler = (*Writer)(nil)

// row is an order and the place of its message in the batch.
type row struct {
	Order
	at int
}

// HandleBatch inserts the orders of all messages in one statement. A body that is
// not an order, and a row that the table refuses, is rejected; the others go through.
// If the database cannot do its work at all, every message that was not
// rejected is retried.
func (w *Writer) HandleBatch(ctx context.Context, ms []*handler.Message) []error {
	errs := make([]error, len(ms))
	rows := make([]row, 0, len(ms))
	for i, m := range ms {
		o, err := parse(m.Body)
		if err != nil {
			errs[i] = handler.Reject(err)
			continue
		}
		rows = append(rows, row{o, i})
	}
	if len(rows) == 0 {
		return errs
	}
	// Nearly always that is all.
	err := send(ctx, w.DB, rows)
	if refused(err) {
		err = pgx.BeginFunc(ctx, w.DB, func(tx pgx.Tx) error { return divide(ctx, tx, rows, errs) })
	}
	if err != nil {
		// Nothing was committed, or that is not known: either way the rows may
		// come again.
		for _, r := range rows {
			if errs[r.at] == nil {
				errs[r.at] = fmt.Errorf("insert orders: %w", err)
			}
		}
	}
	return errs
}

// divide finds the rows that the table refuses by halves, each behind a savepoint:
// one bad row among a thousand costs about twenty statements, not a thousand. All
// that is left is inserted within tx.
func divide(ctx context.Context, tx pgx.Tx, rows []row, errs []error) error {
	half := (len(rows) + 1) / 2 // of one row: itself, and none
	for _, part := range [][]row{rows[:half], rows[half:]} {
		if len(part) == 0 {
			continue
		}
		// A transaction within one is a savepoint.
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return send(ctx, tx, part) })
		switch {
		case !refused(err):
		case len(part) == 1:
			errs[part[0].at] = handler.Reject(fmt.Errorf("insert order %q: %w", part[0].ID, err))
			err = nil
		default:
			err = divide(ctx, tx, part, errs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// execer is the pool or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
}

func send(ctx context.Context, db execer, rows []row) error {
	n := len(rows)
	ids, customers, cents, times := make([]string, n), make([]string, n), make([]int64, n), make([]time.Time, n)
	for i, r := range rows {
		ids[i], customers[i], cents[i], times[i] = r.ID, r.Customer, r.Cents, r.PlacedAt
	}
	_, err := db.Exec(ctx, insert, ids, customers, cents, times)
	return err
}

// refused is true for an error that comes from what is in the rows: of the class
// "data exception" or "integrity constraint violation". See
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23"))
}
