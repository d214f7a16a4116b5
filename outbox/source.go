package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sqlconn"
)

// SourceConfig configures a [Source]. The zero SourceConfig, like nil, selects the
// defaults.
type SourceConfig struct {
	// Queues are the queues whose rows are received. Nil means all.
	Queues []string

	// Lease is how long a received row belongs to its receiver. Zero means 30 seconds; the
	// least is 100 milliseconds.
	Lease time.Duration

	// Poll is how often a waiting receive looks for due rows. Zero means 200 milliseconds;
	// the least is a millisecond.
	Poll time.Duration

	// Wake, if not nil, ends a pause between two looks whenever it receives. Function
	// Listen of package outbox/pgxtx returns such a channel, which PostgreSQL's NOTIFY
	// feeds.
	Wake <-chan struct{}
}

// A source receives the due rows of a [Table]; see [Table.Source].
type source struct {
	t       *Table
	c       SourceConfig
	qualify bool                              // groups of different queues are different
	damaged func(ctx context.Context, r *row) // called for each damaged row; nil for none

	mu     sync.Mutex
	closed chan struct{}
	full   bool // the latest receive found all that it asked for
}

var (
	_ drivers.Source    = (*source)(nil)
	_ drivers.Inspector = (*source)(nil)
)

// Receive returns up to n due rows, waiting up to wait for the first.
func (s *source) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	n = min(n, maxBatch)
	deadline := time.Now().Add(wait)
	wake := s.c.Wake
	for {
		if s.isClosed() {
			return nil, s.closedError("receive")
		}
		ds, err := s.receive(ctx, n)
		if err != nil {
			return ds, s.t.wrap(ctx, "receive", err)
		}
		if len(ds) > 0 {
			return ds, nil
		}
		pause := min(s.c.Poll, time.Until(deadline))
		if pause <= 0 {
			return nil, ctx.Err()
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case _, ok := <-wake:
			if !ok { // nobody wakes it any more
				wake = nil
			}
		case <-s.closed:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

func (s *source) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// receive takes up to n due rows.
func (s *source) receive(ctx context.Context, n int) ([]drivers.Delivery, error) {
	s.mu.Lock()
	busy := s.full
	s.mu.Unlock()
	if !busy { // an idle table is asked without a transaction
		seqs, err := sqlconn.On(ctx, s.t.db, func(conn *sql.Conn) ([]int64, error) { return s.look(ctx, conn, 1) })
		if err != nil || len(seqs) == 0 {
			return nil, err
		}
	}
	begin := time.Now()
	token := rand.Text() + "-"
	rows, err := sqlconn.On(ctx, s.t.db, func(conn *sql.Conn) ([]*row, error) { return s.take(ctx, conn, n, token) })
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.full = len(rows) == n
	s.mu.Unlock()
	ds := make([]drivers.Delivery, 0, len(rows))
	held := make(map[[2]string]bool) // groups behind a damaged row
	for _, r := range rows {
		if r.damage != nil { // it backs off with its lease
			if r.grp != "" {
				held[[2]string{r.queue, r.grp}] = true
			}
			if s.damaged != nil {
				s.damaged(ctx, r)
			}
			if err := s.t.note(ctx, r, r.attempts, r.damage); err != nil {
				return ds, err
			}
			continue
		}
		if held[[2]string{r.queue, r.grp}] {
			continue
		}
		m := r.message()
		m.SetNative(r)
		if s.qualify && m.Group != "" {
			m.Group = r.queue + "\x00" + m.Group
		}
		ds = append(ds, drivers.Delivery{Message: m, Receipt: token + strconv.FormatInt(r.seq, 10), Deadline: begin.Add(s.c.Lease), Lease: s.c.Lease})
	}
	return ds, nil
}

// look returns the numbers of up to n rows that can be taken.
func (s *source) look(ctx context.Context, conn *sql.Conn, n int) ([]int64, error) {
	return readNumbers(ctx, conn, s.t.q.take(1, len(s.c.Queues), n), s.t.args(conn, s.names()))
}

// names are the queues as parameters of [statements.take].
func (s *source) names() []any {
	args := make([]any, 0, 2*len(s.c.Queues))
	for range 2 {
		for _, q := range s.c.Queues {
			args = append(args, q)
		}
	}
	return args
}

// take leases up to n rows and reads them. One receive of a table takes rows at a time:
// SQLite has one writer, the others have a lock.
func (s *source) take(ctx context.Context, conn *sql.Conn, n int, token string) (rows []*row, err error) {
	millis := s.c.Lease.Milliseconds()
	switch s.t.q.dialect {
	case SQLite:
		q := s.t.q.lease(s.t.q.take(2, len(s.c.Queues), n), millis) + " RETURNING " + columns
		return readRows(ctx, conn, q, s.t.args(conn, append([]any{token}, s.names()...)))
	case PostgreSQL:
		err = transact(ctx, conn, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, maxIdle+", pg_advisory_xact_lock(hashtextextended($1, 0))", s.t.args(conn, []any{s.t.name})...); err != nil {
				return err
			}
			q := s.t.q.lease(s.t.q.take(2, len(s.c.Queues), n), millis) + " RETURNING " + columns
			rows, err = readRows(ctx, tx, q, s.t.args(conn, append([]any{token}, s.names()...)))
			return err
		})
		return rows, err
	default:
		return s.takeMySQL(ctx, conn, n, token, millis)
	}
}

// takeMySQL is take without RETURNING. Its lock belongs to the connection, which is thrown
// away if the lock cannot be given back.
func (s *source) takeMySQL(ctx context.Context, conn *sql.Conn, n int, token string, millis int64) (rows []*row, err error) {
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT get_lock(left(concat(database(), '.', ?), 64), 10)", s.t.name).Scan(&got); err != nil {
		return nil, err
	}
	if got.Int64 != 1 {
		return nil, errors.New("another receiver holds the table's lock for 10 seconds")
	}
	defer func() {
		if _, e := conn.ExecContext(context.WithoutCancel(ctx), "DO release_lock(left(concat(database(), '.', ?), 64))", s.t.name); e != nil {
			sqlconn.Discard(conn)
		}
	}()
	seqs, err := s.look(ctx, conn, n)
	if err != nil || len(seqs) == 0 {
		return nil, err
	}
	list := numbers(seqs)
	if _, err := conn.ExecContext(ctx, s.t.q.lease(list, millis), token); err != nil {
		return nil, err
	}
	args := make([]any, len(seqs))
	for i, seq := range seqs {
		args[i] = token + strconv.FormatInt(seq, 10)
	}
	return readRows(ctx, conn, s.t.q.read("seq IN ("+list+") AND token IN ("+parameters(1, len(args))+")"), args)
}

// Settle marks rows as sent, or gives them back. A retry without a delay comes back when
// its lease ends.
func (s *source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	errs := make([]error, len(ss))
	changes := make(map[string][]int) // of a change, which settlements ask for it
	for i, t := range ss {
		delay := "0"
		if t.Delayed {
			delay = strconv.FormatInt(max(t.Delay, 0).Milliseconds(), 10)
		}
		switch {
		case t.Action == handler.ActionAck, t.Action == handler.ActionDrop:
			changes[setSent] = append(changes[setSent], i)
		case t.Action != handler.ActionRetry:
			errs[i] = &drivers.Error{Code: drivers.Unsupported, Queue: s.t.name, Op: "settle", Err: errors.New("an outbox has no dead-letter queue")}
		case !t.Delayed && !t.Released:
			changes[setExpiring] = append(changes[setExpiring], i)
		case t.Released && !t.Delayed:
			change := "attempts = attempts - 1, " + setExpiring
			changes[change] = append(changes[change], i)
		case t.Released:
			change := fmt.Sprintf(setReleased, delay)
			changes[change] = append(changes[change], i)
		default:
			change := fmt.Sprintf(setRetried, delay)
			changes[change] = append(changes[change], i)
		}
	}
	receipts := make([]string, len(ss))
	for i, t := range ss {
		receipts[i] = t.Receipt
	}
	s.change(ctx, "settle", changes, receipts, errs)
	return result(errs)
}

// Extend sets the leases of rows, counted from now.
func (s *source) Extend(ctx context.Context, es []drivers.Extension) []error {
	errs := make([]error, len(es))
	changes := make(map[string][]int)
	receipts := make([]string, len(es))
	for i, e := range es {
		change := fmt.Sprintf(setExtended, strconv.FormatInt(e.By.Milliseconds(), 10))
		changes[change] = append(changes[change], i)
		receipts[i] = e.Receipt
	}
	s.change(ctx, "extend", changes, receipts, errs)
	return result(errs)
}

// result is errs, or nil if there is none.
func result(errs []error) []error {
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}

// change carries out changes of rows whose leases are held, and sets the errors of the
// others. Each change is a statement of its own, so that one that fails leaves the others.
// A second receipt of one row waits for the next round, since an answer names rows.
func (s *source) change(ctx context.Context, op string, changes map[string][]int, receipts []string, errs []error) {
	if s.isClosed() {
		for i := range errs {
			errs[i] = s.closedError(op)
		}
		return
	}
	for change, items := range changes {
		for len(items) > 0 {
			at := make(map[int64]int, len(items))
			var seqs []int64
			var tokens []string
			var again []int
			for _, i := range items {
				_, number, _ := strings.Cut(receipts[i], "-")
				seq, err := strconv.ParseInt(number, 10, 64)
				if _, twice := at[seq]; twice {
					again = append(again, i)
					continue
				}
				if err != nil {
					errs[i] = &drivers.Error{Code: drivers.Invalid, Queue: s.t.name, Op: op, Err: errors.New("not a receipt of an outbox")}
					continue
				}
				at[seq] = i
				seqs, tokens = append(seqs, seq), append(tokens, receipts[i])
			}
			items = again
			if len(at) == 0 {
				continue
			}
			done, err := sqlconn.On(ctx, s.t.db, func(conn *sql.Conn) ([]int64, error) {
				return s.update(ctx, conn, change, numbers(seqs), tokens)
			})
			err = s.t.wrap(ctx, op, err)
			for seq, i := range at {
				switch {
				case err != nil:
					errs[i] = err
				case !slices.Contains(done, seq):
					errs[i] = &drivers.Error{Code: drivers.LeaseLost, Queue: s.t.name, Op: op, Err: errors.New("the lease of the row has ended")}
				}
			}
		}
	}
}

// update carries out one change, and returns the numbers of the rows that it changed.
func (s *source) update(ctx context.Context, conn *sql.Conn, change, seqs string, receipts []string) (done []int64, err error) {
	where, tokens := s.t.q.held(seqs, len(receipts)), s.t.q.tokens(receipts)
	set := s.t.q.fill("UPDATE {table} SET " + change + " WHERE " + where)
	if s.t.q.dialect != MySQL {
		return readNumbers(ctx, conn, set+" RETURNING seq", s.t.args(conn, tokens))
	}
	err = transact(ctx, conn, func(tx *sql.Tx) error {
		done, err = readNumbers(ctx, tx, s.t.q.fill("SELECT seq FROM {table} WHERE "+where+" FOR UPDATE"), tokens)
		if err == nil && len(done) > 0 {
			_, err = tx.ExecContext(ctx, set, tokens...)
		}
		return err
	})
	return done, err
}

// Capabilities returns what the table can do.
func (s *source) Capabilities() drivers.Capabilities {
	c := s.t.capabilities()
	c.Lease = s.c.Lease
	return c
}

// Close ends the source. Receives that wait return. A second call returns nil.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isClosed() {
		close(s.closed)
	}
	return nil
}

func (s *source) closedError(op string) error {
	return &drivers.Error{Code: drivers.Closed, Queue: s.t.name, Op: op, Err: errors.New("the source is closed")}
}

// Depth counts the pending rows of the source's queues.
func (s *source) Depth(ctx context.Context) (drivers.Depth, error) {
	if s.isClosed() {
		return drivers.Depth{}, s.closedError("depth")
	}
	d := drivers.Depth{DeadLetters: drivers.Unknown}
	_, err := sqlconn.On(ctx, s.t.db, func(conn *sql.Conn) (struct{}, error) {
		names := s.names()[:len(s.c.Queues)]
		var age int64
		err := conn.QueryRowContext(ctx, s.t.q.count(len(names)), s.t.args(conn, names)...).Scan(&d.Visible, &d.InFlight, &d.Delayed, &age)
		d.OldestAge = time.Duration(age) * time.Millisecond
		return struct{}{}, err
	})
	return d, s.t.wrap(ctx, "depth", err)
}

// Peek returns up to n pending messages, in the order of their rows. It spends no attempt.
// There are no dead letters.
func (s *source) Peek(ctx context.Context, n int, dead bool) ([]*handler.Message, error) {
	if s.isClosed() {
		return nil, s.closedError("peek")
	}
	if dead {
		return nil, &drivers.Error{Code: drivers.Unsupported, Queue: s.t.name, Op: "peek", Err: errors.New("an outbox has no dead-letter queue")}
	}
	rows, err := s.t.pending(ctx, "", s.c.Queues, n)
	if err != nil {
		return nil, err
	}
	ms := make([]*handler.Message, len(rows))
	for i, r := range rows {
		ms[i] = r.message()
		if r.token == "" {
			ms[i].Attempt++ // the one that comes
		}
	}
	return ms, nil
}
