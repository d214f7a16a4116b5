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
	// hung is why a call of the connection was left behind. It has the connection until
	// it returns, and closing the connection would wait for that.
	hung error
}

// end calls f, which is a statement or the end of the transaction. It does not wait for
// f longer than limit.
func (t *txn) end(ctx context.Context, limit time.Duration, f func() error) error {
	returned := make(chan struct{})
	_, err := storegate.Call(ctx, limit, func(context.Context) (struct{}, error) {
		defer close(returned)
		return struct{}{}, f()
	})
	select {
	case <-returned:
		t.bad = t.bad || sqlconn.Failed(err)
	default:
		t.hung = err
	}
	return err
}

// close rolls the transaction back, if it has not ended, and gives the connection
// back to the pool. If the rollback or an earlier call takes longer than limit, the
// connection is closed when ctx ends.
func (t *txn) close(ctx context.Context, limit time.Duration) error {
	if t.hung != nil {
		return t.hung
	}
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
