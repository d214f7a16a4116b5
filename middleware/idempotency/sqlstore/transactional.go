package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// DefaultBusyRetry caps the delay of a message whose duplicate is being handled.
const DefaultBusyRetry = 5 * time.Second

// TxConfig configures [Transactional]. The zero TxConfig works.
type TxConfig struct {
	// Key, Namespace, RunKeyless, DoneTTL, RetryMax, OnDuplicate, Observer and
	// Logger are as in idempotency.Config. ClaimTTL is not used: the claim is
	// the transaction, and ends with it. OnDuplicate's result is always nil.
	idempotency.Config

	// BusyRetry caps the delay, with full jitter, of a message whose duplicate
	// holds the key in a transaction of its own. Zero means DefaultBusyRetry.
	BusyRetry time.Duration

	// Options are the transaction's. Nil is the database's default isolation,
	// which is enough for the mark; choose what the handler's statements need.
	Options *sql.TxOptions
}

// Transactional returns the middleware that runs the handler in a transaction of
// the store's database, together with the mark: the handler gets it by [Tx],
// writes its effect with it, and must neither commit nor roll back. When the
// handler succeeds (or discards the message), effect and mark are committed; when
// it fails, panics, or loses its lease, both are rolled back. A duplicate of a
// committed message is acked without running the handler; one of a message whose
// transaction is still open is retried.
//
// A commit whose outcome is not known (the connection broke) is a retry: the next
// delivery finds either the mark or nothing, and both are right. So there is
// exactly one effect, as far as it lies in the transaction. Keep other effects
// out of it, or make them idempotent by the same key.
//
// SQLite has one writer: a handler holds it for as long as it runs.
func Transactional(s *Store, c *TxConfig) (handler.Middleware, error) {
	if s == nil {
		return nil, errors.New("sqlstore: the store is nil")
	}
	var cfg TxConfig
	if c != nil {
		cfg = *c
	}
	base, err := cfg.Config.WithDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Config = base
	if cfg.BusyRetry < 0 {
		return nil, fmt.Errorf("sqlstore: BusyRetry is %v, it must not be negative", cfg.BusyRetry)
	}
	if cfg.BusyRetry == 0 {
		cfg.BusyRetry = DefaultBusyRetry
	}
	return func(next handler.Handler) handler.Handler {
		return &txGuard{next: next, store: s, cfg: cfg}
	}, nil
}

type txKey struct{}

// Tx returns the transaction in which the handler runs, or nil where the handler
// is not within [Transactional]. ctx is the handler's.
func Tx(ctx context.Context) *sql.Tx {
	tx, _ := ctx.Value(txKey{}).(*sql.Tx)
	return tx
}

type txGuard struct {
	next  handler.Handler
	store *Store
	cfg   TxConfig
}

// Handle implements handler.Handler.
func (g *txGuard) Handle(ctx context.Context, m *handler.Message) error {
	key, err := g.cfg.StoreKey(m)
	if err != nil {
		return handler.Reject(err)
	}
	// Not with the handler's context: database/sql would roll back behind the
	// handler's back when the context ends, and a commit would then fail though
	// all was well. It is looked at before the commit instead.
	txCtx := context.WithoutCancel(ctx)
	tx, err := g.store.db.BeginTx(txCtx, g.cfg.Options)
	switch {
	case err != nil && g.store.dialect == SQLite && sqliteBusy(err):
		return g.busy() // the connection begins with the write lock, and another holds it
	case err != nil:
		return g.retry(ctx, m, "begin", err)
	}
	defer func() {
		// After a commit this does nothing. It is what a panic comes through.
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			g.cfg.Logger.WarnContext(ctx, "rollback failed; the database undoes the transaction by itself",
				slog.String("queue", m.Origin().Queue), slog.String("message_id", m.ID), slog.Any("error", err))
		}
	}()

	won, err := g.mark(ctx, tx, key)
	switch {
	case errors.Is(err, errBusy):
		return g.busy()
	case err != nil:
		return g.retry(ctx, m, "mark", err)
	case !won:
		return g.cfg.Duplicate(ctx, m, nil)
	}

	verdict := g.next.Handle(context.WithValue(ctx, txKey{}, tx), m)
	switch handler.VerdictOf(verdict).Action {
	case handler.Ack, handler.Drop:
	case handler.Retry, handler.DeadLetter:
		return verdict
	}
	if cause := context.Cause(ctx); cause != nil {
		// The lease is lost, or the consumer stopped: another worker may have
		// the message by now.
		return fmt.Errorf("sqlstore: rolled back: %w", cause)
	}
	if err := tx.Commit(); err != nil {
		return g.retry(ctx, m, "commit", err)
	}
	return verdict
}

// busy puts the message off: another transaction is in its way.
func (g *txGuard) busy() error {
	return handler.Postpone(mathrand.N(g.cfg.BusyRetry)+100*time.Millisecond, errBusy)
}

// errBusy means that another transaction holds the key.
var errBusy = errors.New("idempotency: another transaction holds the key, or the database")

// mark takes the key within tx. It reports false where the key is done.
func (g *txGuard) mark(ctx context.Context, tx *sql.Tx, key string) (bool, error) {
	if key == "" { // RunKeyless
		return true, nil
	}
	if g.store.dialect == PostgreSQL {
		// Inserting a key that another transaction has inserted would wait for
		// that one's end, with this message's lease running down. The lock is of
		// the key's hash: a collision costs a retry, never a duplicate.
		var locked bool
		err := tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))`,
			g.store.table+"/"+key).Scan(&locked)
		if err != nil {
			return false, err
		}
		if !locked {
			return false, errBusy
		}
	}
	res, err := tx.ExecContext(ctx, g.store.queries.mark, key, rand.Text(), g.cfg.DoneTTL.Milliseconds())
	if err != nil {
		if g.store.dialect == SQLite && sqliteBusy(err) {
			return false, errBusy
		}
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// sqliteBusy is true for SQLITE_BUSY and its extended codes, of modernc.org/sqlite
// (a method Code) and mattn/go-sqlite3 (known by its text).
func sqliteBusy(err error) bool {
	var e interface{ Code() int }
	if errors.As(err, &e) {
		const busy, locked = 5, 6
		return e.Code()&0xff == busy || e.Code()&0xff == locked
	}
	return err != nil && err.Error() == "database is locked"
}

func (g *txGuard) retry(ctx context.Context, m *handler.Message, op string, err error) error {
	g.cfg.Logger.WarnContext(ctx, "idempotency transaction failed; the message is retried",
		slog.String("queue", m.Origin().Queue), slog.String("message_id", m.ID),
		slog.String("operation", op), slog.Any("error", err))
	return g.cfg.Retry(fmt.Errorf("sqlstore: %s: %w", op, err))
}
