package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/sluice-go/sluice/internal/sqlconn"
	"github.com/sluice-go/sluice/middleware/internal/storegate"
)

// txn is a transaction and its connection, which is thrown away if it fails.
type txn struct {
	conn *sql.Conn
	tx   *sql.Tx
	// keep stops the connection from being closed by the end of the transaction's
	// context.
	keep func() bool
	// failed is why there is no transaction.
	failed error
	bad    bool // the connection has failed
}

// end calls f, which is a statement or the end of the transaction.
func (t *txn) end(ctx context.Context, limit time.Duration, f func() error) error {
	_, err := storegate.Call(ctx, limit, func(context.Context) (struct{}, error) { return struct{}{}, f() })
	t.bad = t.bad || sqlconn.Failed(err)
	return err
}

// close rolls the transaction back, if it has not ended, and gives the connection
// back to the pool. If the rollback takes longer than limit, the connection is
// closed when ctx ends.
func (t *txn) close(ctx context.Context, limit time.Duration) error {
	if t.tx != nil {
		err := t.end(ctx, limit, t.tx.Rollback)
		if err != nil && !errors.Is(err, sql.ErrTxDone) && !t.bad {
			return err
		}
	}
	t.keep()
	if t.bad {
		sqlconn.Discard(t.conn)
	}
	_ = t.conn.Close() // what it says of a connection that was thrown away is known
	return nil
}
