package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
)

// A querier is a *sql.Conn or *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// readRows reads rows, in the order of their numbers.
func readRows(ctx context.Context, q querier, query string, args []any) ([]*row, error) {
	out, err := read(ctx, q, query, args, func(rows *sql.Rows) (*row, error) {
		r := new(row)
		return r, r.scan(rows)
	})
	slices.SortFunc(out, func(a, b *row) int { return cmp.Compare(a.seq, b.seq) })
	return out, err
}

// readNumbers reads the numbers of rows.
func readNumbers(ctx context.Context, q querier, query string, args []any) ([]int64, error) {
	return read(ctx, q, query, args, func(rows *sql.Rows) (seq int64, err error) {
		return seq, rows.Scan(&seq)
	})
}

func read[T any](ctx context.Context, q querier, query string, args []any, scan func(rows *sql.Rows) (T, error)) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// transact calls f with a transaction, which commits if f returns nil and is rolled back
// otherwise.
func transact(ctx context.Context, db interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}, f func(tx *sql.Tx) error,
) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if e := tx.Rollback(); !errors.Is(e, sql.ErrTxDone) {
			err = errors.Join(err, e)
		}
		return err
	}
	return tx.Commit()
}
