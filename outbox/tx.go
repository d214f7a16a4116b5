package outbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sluice-go/sluice/drivers"
)

// A Tx is the transaction in which a [Table] writes: a *sql.Tx, or a *sql.Conn or *sql.DB
// for a transaction of its own. Nil means the table's own *sql.DB. Function Tx of package
// outbox/pgxtx makes one of a pgx.Tx.
type Tx interface {
	// ExecContext runs a statement, as [sql.Tx.ExecContext] does. Only the number of
	// rows of its result is read.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// A scanner is a Tx that can read without database/sql's rows, which pgx cannot make.
type scanner interface {
	ScanRow(ctx context.Context, query string, args []any, dest ...any) error
}

// scanRow reads the first row of a query. It returns [sql.ErrNoRows] if there is none.
func scanRow(ctx context.Context, tx Tx, query string, args []any, dest ...any) error {
	switch tx := tx.(type) {
	case interface {
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}:
		return tx.QueryRowContext(ctx, query, args...).Scan(dest...)
	case scanner:
		return tx.ScanRow(ctx, query, args, dest...)
	default:
		return fmt.Errorf("%w: a %T cannot read rows; use a *sql.Tx, or package outbox/pgxtx", drivers.ErrUnsupported, tx)
	}
}
