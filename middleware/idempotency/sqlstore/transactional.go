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
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/sqlconn"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
	"github.com/sluice-go/sluice/middleware/internal/storegate"
)

// TxConfig configures [Transactional]. The zero TxConfig works.
type TxConfig struct {
	// Key, Namespace, RunKeyless, DoneTTL, RetryMax, OnDuplicate, Observer and
	// Logger are as in idempotency.Config. ClaimTTL is not used: the claim is
	// the transaction, and ends with it. OnDuplicate's result is always nil.
	idempotency.Config

	// BusyRetry is the longest delay, with full jitter, of a message that must
	// wait for another transaction: a duplicate holds the key, SQLite's only
	// writer is busy, or all connections of the pool are. It costs no attempt.
	// Zero means 5 seconds.
	BusyRetry time.Duration

	// Options are the transaction's. Nil is the database's default isolation,
	// which is enough for the mark; choose what the handler's statements need.
	Options *sql.TxOptions
}

// Transactional returns middleware that runs the handler and sets the mark in
// one transaction of the store's database. The handler obtains the transaction
// by [Tx], writes its effect with it, and must neither commit nor roll back.
// When the handler succeeds (or drops the message), effect and mark are
// committed; when it fails, panics, or loses its lease, both are rolled back. A
// duplicate of a committed message is acked without running the handler; one of
// a message whose transaction is still open is retried.
//
// A commit whose outcome is not known (the connection broke) is a retry: the next
// delivery finds either the mark or nothing, and both are right. So there is
// exactly one effect, as far as it lies in the transaction. Keep other effects
// out of it, or make them idempotent by the same key.
//
// A batch handler (see handler.Batch) can't be within Transactional: its messages
// would share one effect and have a transaction each. Runtimes refuse such a handler
// when they are made. Use idempotency.New around a batch handler instead, and make
// its writes ignore existing rows.
//
// SQLite has one writer: a handler holds it for as long as it runs. A handler on
// PostgreSQL holds a connection: let the pool have one for each handler that runs
// at the same time, and one more.
//
// A handler must return an error if a statement of the transaction fails. PostgreSQL has
// nothing of such a transaction committed: if the handler returns nil all the same, that
// is a failed attempt of its message. SQLite rolls a transaction back when a statement of
// it is interrupted by its context or the disk is full, and commits each later statement
// by itself, without the mark.
//
// If a worker's host is gone and did not close its connections, PostgreSQL keeps the
// worker's transactions, and has the duplicates of their messages wait, until TCP
// keepalive finds out. That takes two hours unless the server's tcp_keepalives_idle and
// tcp_keepalives_interval are lower; a minute and ten seconds are good.
//
// While the database does not answer, messages are postponed and a gate is closed,
// as with the other form; see package idempotency. Waits for a connection, for the
// beginning of a transaction and for the commit end after StoreTimeout, and the
// first two with the message's context.
func Transactional(s *Store, c *TxConfig) (handler.Middleware, error) {
	cfg := setting.Copy(c)
	rules, err := policy.Complete((*policy.Policy)(&cfg.Config))
	if err := errors.Join(
		setting.Refuse(s == nil, "the store is nil"),
		err,
		setting.Default("BusyRetry", &cfg.BusyRetry, 5*time.Second),
	); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	g := &txGuard{Policy: rules, store: s, busyRetry: cfg.BusyRetry, options: cfg.Options}
	g.gate = g.NewGate(s, g.probe)
	return handler.Singly(func(next handler.Handler) handler.Handler {
		return &txHandler{txGuard: g, next: next}
	}, errBatch), nil
}

// errBatch is why a batch handler is refused.
var errBatch = errors.New("sqlstore: a batch handler can't be within Transactional, which gives each message a transaction of its own: " +
	"put idempotency.New around the batch handler, with this store, and have its writes ignore what is there already (ON CONFLICT DO NOTHING); or handle messages singly")

type txKey struct{}

// Tx returns the transaction in which the handler runs, or nil if the handler
// is not within [Transactional]. ctx is the handler's.
func Tx(ctx context.Context) *sql.Tx {
	tx, _ := ctx.Value(txKey{}).(*sql.Tx)
	return tx
}

// txGuard is what all handlers of one middleware share.
type txGuard struct {
	policy.Policy
	store     *Store
	busyRetry time.Duration
	options   *sql.TxOptions
	gate      *storegate.Gate
}

// Gate returns the gate that is closed while the database does not answer;
// handler.GatesOf finds it.
func (g *txGuard) Gate() handler.Gate { return g.gate }

// probe claims a separate key, because a database that can be read may not be
// writable, for example after a failover. SQLite has one writer, which may be a
// handler, so it is read only. A pool whose connections are all taken by handlers does
// not prove an outage.
func (g *txGuard) probe(ctx context.Context) error {
	if g.saturated() {
		return nil
	}
	key := policy.StoreKey("sluice", "probe")
	if g.store.dialect == PostgreSQL {
		_, err := g.store.Claim(ctx, key, rand.Text(), time.Second)
		return err
	}
	_, _, err := g.store.look(ctx, g.store.db, key)
	if errors.Is(err, sql.ErrNoRows) || sqliteBusy(err) {
		return nil
	}
	return err
}

func (g *txGuard) saturated() bool {
	st := g.store.db.Stats()
	return st.MaxOpenConnections > 0 && st.InUse >= st.MaxOpenConnections
}

type txHandler struct {
	*txGuard
	next handler.Handler
}

// Handle implements handler.Handler.
func (g *txHandler) Handle(ctx context.Context, m *handler.Message) error {
	key, err := g.StoreKey(m)
	if err != nil {
		return handler.Reject(err)
	}
	if wait, entered := g.gate.Enter(ctx); !entered {
		return handler.Postpone(wait, g.gate.Err())
	}
	// Not with the handler's context: database/sql would roll back behind the
	// handler's back when the context ends, and a commit would then fail though
	// all was well. It is looked at before the commit instead.
	txCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	t, won, op, err := g.start(ctx, txCtx, end, key)
	if err != nil {
		return g.failed(ctx, m, key, op, err)
	}
	// After a commit this only gives the connection back. It is what a panic comes
	// through.
	defer func() { g.close(ctx, txCtx, t, m) }()
	if !won {
		g.gate.Fine(key)
		return g.Duplicate(ctx, m, nil)
	}

	verdict := g.next.Handle(context.WithValue(ctx, txKey{}, t.tx), m)
	switch handler.VerdictOf(verdict).Action {
	case handler.ActionAck, handler.ActionDrop:
	case handler.ActionRetry:
		return g.spared(ctx, txCtx, t, key, verdict)
	case handler.ActionDeadLetter:
		return verdict
	}
	if cause := context.Cause(ctx); cause != nil {
		// The lease is lost, or the consumer stopped: another worker may have
		// the message by now. It is not a failure of the message.
		return handler.Postpone(0, fmt.Errorf("sqlstore: rolled back: %w", cause))
	}
	if err := t.end(txCtx, g.StoreTimeout, t.tx.Commit); err != nil {
		return g.failed(ctx, m, key, "commit", err)
	}
	g.gate.Fine(key)
	return verdict
}

// start begins a transaction and marks the key in it, with another connection if
// the pool's has failed: no handler has seen the message yet. It returns the
// operation that failed.
func (g *txHandler) start(ctx, txCtx context.Context, end context.CancelFunc, key string) (t *txn, won bool, op string, err error) {
	left := 0 // tries, as in function on
	for {
		t, err = g.begin(ctx, txCtx, end)
		if op = "begin"; err == nil {
			op = "mark"
			won, err = storegate.Call(ctx, g.StoreTimeout, func(ctx context.Context) (bool, error) { return g.mark(ctx, t.tx, key) })
		}
		if err == nil || t == nil {
			return t, won, op, err
		}
		t.bad = sqlconn.Failed(err)
		if left--; left < 0 {
			left = g.store.db.Stats().OpenConnections
		}
		_ = t.close(txCtx, g.StoreTimeout)
		if !t.bad || left == 0 || ctx.Err() != nil {
			return nil, false, op, err
		}
	}
}

// begin waits for a connection and begins a transaction on it, until ctx ends or
// StoreTimeout is over. The transaction lasts as long as txCtx, which end ends. If a
// connection was had, the result is not nil, and must be closed.
func (g *txHandler) begin(ctx, txCtx context.Context, end context.CancelFunc) (*txn, error) {
	defer context.AfterFunc(ctx, end)()
	var refused error
	t, err := storegate.Call(txCtx, g.StoreTimeout, func(context.Context) (*txn, error) {
		conn, err := g.store.db.Conn(txCtx)
		if err != nil {
			return nil, err
		}
		t := &txn{conn: conn}
		// If nobody waits for it any more.
		t.keep = context.AfterFunc(txCtx, func() { _ = conn.Close() })
		t.tx, t.failed = conn.BeginTx(txCtx, g.options)
		return t, nil
	})
	if t != nil {
		refused = t.failed
	}
	if err != nil {
		end() // a transaction that begins after all is rolled back
		return nil, err
	}
	return t, refused
}

// spared returns the verdict of a handler that failed. If its transaction was lost
// with its connection, that is not a failure of the message, unless it happens to this
// one again and again. A handler whose own context ended during a statement has lost the
// connection by that: drivers close it then. So has one whose transaction idled or lasted
// for longer than the server allows; if no statement of the handler came upon that, ours
// does, whose error is not one of the connection then.
func (g *txHandler) spared(ctx, txCtx context.Context, t *txn, key string, verdict error) error {
	if g.store.dialect != PostgreSQL || ctx.Err() != nil || handler.VerdictOf(verdict).Postponed ||
		invoke.Is(verdict, context.DeadlineExceeded) || invoke.Is(verdict, context.Canceled) || overlong(verdict) {
		return verdict
	}
	err := t.end(txCtx, g.StoreTimeout, func() error { _, err := t.tx.ExecContext(txCtx, "SELECT 1"); return err })
	if !sqlconn.Failed(err) {
		return verdict
	}
	wait, own := g.gate.Suspect(key, err)
	if own {
		return verdict
	}
	return handler.Postpone(wait, fmt.Errorf("sqlstore: the transaction was lost with its connection: %w", verdict))
}

// close ends the transaction, if it has not ended, and gives its connection back.
func (g *txHandler) close(ctx, txCtx context.Context, t *txn, m *handler.Message) {
	if err := t.close(txCtx, g.StoreTimeout); err != nil {
		g.Logger.WarnContext(ctx, "the transaction could not be ended; its connection is closed, and what was not committed is undone",
			slog.String("queue", m.Origin().Queue), slog.String("message_id", m.ID), slog.Any("error", err))
	}
}

// failed returns the verdict on a message whose transaction could not be started,
// marked or committed. Nothing of it has happened, or all of it, and the mark with
// it: the next delivery finds out. It spends no attempt, unless the database
// refuses what this handler wrote.
func (g *txHandler) failed(ctx context.Context, m *handler.Message, key, op string, err error) error {
	switch {
	case errors.Is(err, errBusy), g.store.dialect == SQLite && sqliteBusy(err):
		return g.busy(errBusy)
	case ctx.Err() != nil:
		return handler.Postpone(0, context.Cause(ctx))
	case op == "begin" && g.saturated():
		return g.busy(errNoConnection)
	case conflict(err):
		return g.busy(fmt.Errorf("sqlstore: %s: %w", op, err))
	}
	wait, own := time.Duration(0), refused(op, err)
	err = fmt.Errorf("sqlstore: %s: %w", op, err)
	if !own {
		wait, own = g.gate.Suspect(key, err)
	}
	if own {
		g.Logger.WarnContext(ctx, "the database refuses this message's transaction",
			slog.String("queue", m.Origin().Queue), slog.String("message_id", m.ID),
			slog.String("operation", op), slog.Any("error", err))
		return g.Retry(err)
	}
	if op == "commit" {
		g.Logger.WarnContext(ctx, "handled, but the commit failed: the next delivery finds the mark, or is handled again",
			slog.String("queue", m.Origin().Queue), slog.String("message_id", m.ID), slog.Any("error", err))
	}
	return handler.Postpone(wait, err)
}

// busy puts the message off: another transaction is in its way.
func (g *txHandler) busy(reason error) error {
	return handler.Postpone(time.Duration(mathrand.Float64()*float64(g.busyRetry))+100*time.Millisecond, reason)
}

// errBusy means that another transaction holds the key.
var errBusy = errors.New("idempotency: another transaction holds the key, or the database")

// errNoConnection means that other handlers have all connections of the pool.
var errNoConnection = errors.New("idempotency: no connection is free: the pool is smaller than the number of handlers")

// mark takes the key within tx. It reports false if the key is done.
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
			g.store.args(g.store.table+"/"+key)...).Scan(&locked)
		if err != nil {
			return false, err
		}
		if !locked {
			return false, errBusy
		}
	}
	n, err := g.store.execOn(ctx, tx, g.store.queries.mark, key, rand.Text(), g.DoneTTL.Milliseconds())
	if err != nil && g.store.dialect == SQLite && sqliteBusy(err) {
		err = errBusy
	}
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
