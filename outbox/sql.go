package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/sluice-go/sluice/internal/sqlconn"
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

// own is a [Tx] in which each statement has a transaction of its own, on a connection that
// works and whose server may be written to.
type own struct{ db *sql.DB }

// ExecContext implements [Tx].
func (o own) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return sqlconn.Once(ctx, o.db, func(conn *sql.Conn) (sql.Result, error) { return conn.ExecContext(ctx, query, args...) })
}

// ScanRow implements scanner.
func (o own) ScanRow(ctx context.Context, query string, args []any, dest ...any) error {
	_, err := sqlconn.On(ctx, o.db, func(conn *sql.Conn) (struct{}, error) {
		return struct{}{}, conn.QueryRowContext(ctx, query, args...).Scan(dest...)
	})
	return err
}

// maxIdle has PostgreSQL end a transaction of ours that idles for ten seconds, as the first
// statement of that transaction or a part of it. The client's host is gone then, or frozen.
// PostgreSQL would keep the transaction and its locks, for which other relays wait, until TCP
// keepalive finds out: two hours by default.
const maxIdle = "SELECT set_config('idle_in_transaction_session_timeout', '10000', true)"

// transact calls f with a transaction, which commits if f returns nil and is rolled back
// otherwise.
func transact(ctx context.Context, conn *sql.Conn, f func(tx *sql.Tx) error) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if e := tx.Rollback(); !errors.Is(e, sql.ErrTxDone) {
			err = errors.Join(err, e)
		}
		return err
	}
	return sqlconn.Commit(tx)
}
