package outbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/sqlconn"
)

// Config configures a [Table]. The zero Config, like nil, selects the defaults.
type Config struct {
	// Table is the table's name: letters, digits and underscores, with an optional schema
	// before it. Empty means "sluice_outbox".
	Table string

	// Prepare functions are called in this order on each message before it is written, for
	// example to inject the trace of the caller (package middleware/otel). They receive
	// the context of the call and may change the message, which is a copy of the
	// caller's. An error or a panic fails the call. They may be called concurrently.
	Prepare []func(ctx context.Context, m *handler.Message) error
}

// A Table is a table of messages in the user's database. Make one with [New]. Its methods
// may be called concurrently.
type Table struct {
	db      *sql.DB
	name    string
	q       *statements
	mode    any // goes before each statement's arguments, if not nil
	prepare []func(ctx context.Context, m *handler.Message) error
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New returns the table of a database. A nil config is the zero [Config]. It does no IO:
// call [Table.Migrate], or run [Migration] by other means, to make the table. The caller
// closes db, after all relays have returned.
func New(db *sql.DB, dialect Dialect, config *Config) (*Table, error) {
	c := setting.Copy(config)
	t := &Table{db: db, name: cmp.Or(c.Table, "sluice_outbox"), prepare: c.Prepare}
	if err := errors.Join(
		setting.Refuse(db == nil, "the database is nil"),
		setting.Refuse(!dialect.valid(), "dialect %d is not PostgreSQL, SQLite or MySQL", uint8(dialect)),
		setting.Refuse(!tableName.MatchString(t.name), "Table is %q: it must be a name of letters, digits and underscores", t.name),
		setting.NotNil("Prepare", c.Prepare),
	); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	t.q = newStatements(dialect, t.name)
	t.mode = sqlconn.Mode(db)
	return t, nil
}

// String names the database and the table.
func (t *Table) String() string { return t.q.dialect.String() + " table " + t.name }

// Migration returns the SQL that makes the table and its indexes, for operators who run it
// themselves. An empty table means the default name. It returns "" for an unknown dialect
// or a name that is not one.
func Migration(dialect Dialect, table string) string {
	table = cmp.Or(table, "sluice_outbox")
	if !dialect.valid() || !tableName.MatchString(table) {
		return ""
	}
	return strings.Join(newStatements(dialect, table).migration(), ";\n") + ";\n"
}

// Migrate makes the table and its indexes, and changes nothing if they exist. Several
// processes may call it at the same time. A role that may use the table but not make one
// can call it too.
func (t *Table) Migrate(ctx context.Context) error {
	for _, q := range t.q.migration() {
		if _, err := t.exec(ctx, q); err != nil && !sqlconn.ConcurrentMigration(err) && t.Check(ctx) != nil {
			return t.wrap(ctx, "migrate", err)
		}
	}
	return t.Check(ctx)
}

// Check returns an error if the table does not exist, or lacks a column that this version
// of the package uses.
func (t *Table) Check(ctx context.Context) error {
	_, err := sqlconn.On(ctx, t.db, func(conn *sql.Conn) ([]*row, error) {
		return readRows(ctx, conn, t.q.fill("SELECT "+columns+" FROM {table} WHERE state = 0 AND unique_key IS NULL AND 1 = 0"), nil)
	})
	return t.wrap(ctx, "open", err)
}

// Send writes messages for a queue in the transaction tx, so that they are sent if it
// commits and are not if it is rolled back. queue is the name by which the relay opens the
// queue. Each message's Delay counts from now. Send sets the messages' IDs, which are those
// of rows; the queue gives a sent message another. A message without a dedupe ID gets an
// identity. The messages can be changed after Send has returned.
//
// If it returns an error, tx must be rolled back: it may have some of the messages, unless
// one is not valid. With a nil tx the messages have a transaction of their own, which leaves
// all or none.
func (t *Table) Send(ctx context.Context, tx Tx, queue string, ms ...*handler.Message) error {
	ids := make([]string, len(ms))
	args := make([][]any, len(ms))
	for i, m := range ms { // all, before the first is written
		r, err := t.row(ctx, queue, m)
		if err != nil {
			return err
		}
		if args[i], err = r.args(); err != nil {
			return t.invalid(queue, err)
		}
		ids[i] = r.id
	}
	var err error
	if tx == nil && len(ms) > maxBatch {
		err = t.wrap(ctx, "send", t.transact(ctx, func(tx *sql.Tx) error { return t.insert(ctx, tx, args) }))
	} else {
		err = t.insert(ctx, t.orOwn(tx), args)
	}
	if err != nil {
		return err
	}
	for i, m := range ms {
		m.ID = ids[i]
	}
	return nil
}

// insert writes rows by their parameters, a batch a statement.
func (t *Table) insert(ctx context.Context, tx Tx, rows [][]any) error {
	for batch := range slices.Chunk(rows, maxBatch) {
		if _, err := tx.ExecContext(ctx, t.q.insert(len(batch), ""), t.args(tx, slices.Concat(batch...))...); err != nil {
			return t.wrap(ctx, "send", err)
		}
	}
	return nil
}

// orOwn returns tx, or the table's database if tx is nil.
func (t *Table) orOwn(tx Tx) Tx {
	if tx == nil {
		return own{t.db}
	}
	return tx
}

// maxBatch is the number of rows in one statement: SQLite before 3.32 allows 999
// parameters.
const maxBatch = 100

// SendUnique writes a message for a queue in the transaction tx, unless a message with the
// key is pending: written and not yet sent to the queue. It reports whether it wrote the
// message, and sets the message's ID to that of the pending one. A message that a relay is
// sending at this moment is pending, although a handler may have begun it. While another transaction
// has written the key and has not ended, SendUnique waits for it.
func (t *Table) SendUnique(ctx context.Context, tx Tx, queue, key string, m *handler.Message) (bool, error) {
	r, err := t.keyed(ctx, queue, key, m)
	if err != nil {
		return false, err
	}
	id, wrote, err := t.unique(ctx, t.orOwn(tx), r)
	if err == nil {
		m.ID = id
	}
	return wrote, err
}

// unique writes a row unless one with its key is pending, and returns the ID of the row
// that is pending then.
func (t *Table) unique(ctx context.Context, tx Tx, r *row) (id string, wrote bool, err error) {
	args, err := r.args()
	if err != nil {
		return "", false, t.invalid(r.queue, err)
	}
	for range tries { // the row with the key may be sent between the two statements
		n, err := t.change(ctx, tx, t.q.insertUnique(), args)
		if err != nil {
			return "", false, err
		}
		if n > 0 && t.q.dialect != MySQL { // whose drivers can count rows that were found
			return r.id, true, nil
		}
		err = scanRow(ctx, tx, t.q.firstOf(), t.args(tx, []any{r.queue, r.unique.String}), &id)
		if !errors.Is(err, sql.ErrNoRows) {
			return id, err == nil && id == r.id, t.wrap(ctx, "send", err)
		}
	}
	return "", false, t.busy(r)
}

// tries is how often a key is looked at that changes in the meantime.
const tries = 3

func (t *Table) busy(r *row) error {
	return &drivers.Error{Code: drivers.Transient, Queue: r.queue, Op: "send",
		Err: fmt.Errorf("the pending message with key %q changed under each of %d attempts", r.unique.String, tries)}
}

// change runs a statement in tx and returns how many rows it changed.
func (t *Table) change(ctx context.Context, tx Tx, query string, args []any) (int64, error) {
	res, err := tx.ExecContext(ctx, query, t.args(tx, args)...)
	if err != nil {
		return 0, t.wrap(ctx, "send", err)
	}
	n, err := res.RowsAffected()
	return n, t.wrap(ctx, "send", err)
}

// Debounce writes a message for a queue in the transaction tx, or replaces the pending
// message with the key: body, attributes and identity become the new message's, and the
// time becomes now plus its Delay. It reports whether it replaced one. A message that the
// relay is sending at this moment may be sent too. A debounced message cannot have a group,
// since moving its time would change the group's order.
func (t *Table) Debounce(ctx context.Context, tx Tx, queue, key string, m *handler.Message) (bool, error) {
	r, err := t.keyed(ctx, queue, key, m)
	if err != nil {
		return false, err
	}
	if m.Group != "" {
		return false, t.invalid(queue, errors.New("a debounced message cannot have a group"))
	}
	args, err := r.args()
	if err != nil {
		return false, t.invalid(queue, err)
	}
	tx = t.orOwn(tx)
	for range tries {
		// id, group, message, body, delay twice, queue, key
		n, err := t.change(ctx, tx, t.q.replace(), []any{args[0], args[2], args[4], args[5], args[6], args[7], queue, key})
		if err != nil {
			return false, err
		}
		wrote := false
		if n == 0 {
			if _, wrote, err = t.unique(ctx, tx, r); err != nil {
				return false, err
			}
		}
		if n > 0 || wrote {
			m.ID = r.id
			return n > 0, nil
		}
	}
	return false, t.busy(r)
}

func (t *Table) keyed(ctx context.Context, queue, key string, m *handler.Message) (*row, error) {
	if key == "" || len(key) > 255 || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		return nil, t.invalid(queue, fmt.Errorf("a key has 1 to 255 bytes of text, not %q", key))
	}
	r, err := t.row(ctx, queue, m)
	if err != nil {
		return nil, err
	}
	r.unique = sql.NullString{String: key, Valid: true}
	return r, nil
}

// row returns the row of a message, prepared.
func (t *Table) row(ctx context.Context, queue string, m *handler.Message) (*row, error) {
	if err := checkQueue(queue); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, t.invalid(queue, errors.New("the message is nil"))
	}
	if len(t.prepare) > 0 {
		c := *m
		c.Attributes = make(map[string]string, len(m.Attributes)+2)
		for k, v := range m.Attributes {
			c.Attributes[k] = v
		}
		m = &c
		for _, f := range t.prepare {
			var err error
			if p := invoke.Do(func() { err = f(ctx, m) }); p != nil {
				err = p
			}
			if err != nil {
				return nil, fmt.Errorf("outbox: queue %q: prepare: %w", queue, err)
			}
		}
	}
	r, err := newRow(queue, rand.Text(), cmp.Or(m.DedupeID, identity.New()), m)
	if err != nil {
		return nil, t.invalid(queue, err)
	}
	return r, nil
}

// Cleanup deletes rows that were sent longer than retention ago, limit at most, and
// returns their number. A limit of zero or less means 1,000. A [Relay] calls it.
func (t *Table) Cleanup(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	if limit <= 0 {
		limit = 1000
	}
	seqs, err := sqlconn.On(ctx, t.db, func(conn *sql.Conn) ([]int64, error) {
		return readNumbers(ctx, conn, t.q.old(retention.Milliseconds(), limit), nil)
	})
	if err != nil || len(seqs) == 0 {
		return 0, t.wrap(ctx, "clean up", err)
	}
	n, err := t.exec(ctx, t.q.remove(numbers(seqs)))
	return n, t.wrap(ctx, "clean up", err)
}

// Discard deletes the pending row of the message with an ID, so that it is not sent, and
// reports whether it did: not if no such row is pending any more, or if a relay is sending it.
// It is for a message that its queue will never take. Later rows of its group are sent without
// it. If the answer to an earlier attempt was lost, the queue may have the message all the same.
func (t *Table) Discard(ctx context.Context, id string) (bool, error) {
	seqs, err := sqlconn.On(ctx, t.db, func(conn *sql.Conn) ([]int64, error) {
		return readNumbers(ctx, conn, t.q.named(), t.args(conn, []any{id}))
	})
	if err != nil || len(seqs) == 0 {
		return false, t.wrap(ctx, "discard", err)
	}
	n, err := t.exec(ctx, t.q.discard(numbers(seqs)), id)
	return n > 0, t.wrap(ctx, "discard", err)
}

// pending reads the first n pending rows of the queues, or of all queues, that also meet a
// condition.
func (t *Table) pending(ctx context.Context, also string, queues []string, n int) ([]*row, error) {
	where, args := "state = 0"+also, make([]any, len(queues))
	if len(queues) > 0 {
		where += " AND queue IN (" + parameters(1, len(queues)) + ")"
		for i, q := range queues {
			args[i] = q
		}
	}
	rows, err := sqlconn.On(ctx, t.db, func(conn *sql.Conn) ([]*row, error) {
		return readRows(ctx, conn, fmt.Sprintf("%s LIMIT %d", t.q.read(where), n), t.args(conn, args))
	})
	return rows, t.wrap(ctx, "read", err)
}

// capabilities are those of the table's source and sinks.
func (t *Table) capabilities() drivers.Capabilities {
	return drivers.Capabilities{
		Queue: t.name, System: "sluice_outbox",
		MaxReceive: maxBatch, MaxSettle: maxBatch, MaxExtend: maxBatch, MaxSend: maxBatch, MaxSendGroup: maxBatch,
		MaxDelay: drivers.Unlimited, MaxSendDelay: drivers.Unlimited, MaxExtension: drivers.Unlimited, MaxLease: drivers.Unlimited,
		Ordered: true, AttemptKnown: true, FreeRelease: true, ExactlyOnce: true, StaleReceiptFails: true, StaleReceiptHarmless: true,
	}
}

// Source returns a source of the table's due rows as messages. An ack marks a row as sent.
// A row has no limit of attempts and no dead-letter queue. The source is a
// [drivers.Inspector]. Closing it does not close the database.
func (t *Table) Source(config *SourceConfig) (drivers.Source, error) {
	s, err := t.source(config)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (t *Table) source(config *SourceConfig) (*source, error) {
	c := setting.Copy(config)
	faults := []error{
		setting.Range("Lease", &c.Lease, 100*time.Millisecond, drivers.Unlimited, 30*time.Second),
		setting.Range("Poll", &c.Poll, time.Millisecond, drivers.MaxWait, 200*time.Millisecond),
	}
	for _, q := range c.Queues {
		faults = append(faults, checkQueue(q))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return &source{t: t, c: c, closed: make(chan struct{})}, nil
}

// Sink returns a sink that writes messages for a queue, in transactions of its own. Closing
// it does not close the database.
func (t *Table) Sink(queue string) (drivers.Sink, error) {
	if err := checkQueue(queue); err != nil {
		return nil, err
	}
	return &sink{t: t, queue: queue}, nil
}

// Pending returns up to limit pending rows of the queues, or of all queues if there are
// none, in the order of their rows. Zero or less means 100. Times are by the database's
// clock.
func (t *Table) Pending(ctx context.Context, limit int, queues ...string) ([]Entry, error) {
	return t.entries(ctx, "", limit, queues)
}

// Failing returns up to limit pending rows of the queues, or of all queues if there are
// none, whose latest attempt failed, in the order of their rows. Zero or less means 100.
func (t *Table) Failing(ctx context.Context, limit int, queues ...string) ([]Entry, error) {
	return t.entries(ctx, " AND error IS NOT NULL", limit, queues)
}

func (t *Table) entries(ctx context.Context, also string, limit int, queues []string) ([]Entry, error) {
	if limit <= 0 {
		limit = 100
	}
	rows, err := t.pending(ctx, also, queues, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(rows))
	for i, r := range rows {
		out[i] = Entry{Queue: r.queue, Message: r.message(), Due: at(r.dueAt), Next: at(r.nextAt), Leased: r.token != "", Error: r.err.String}
		if r.damage != nil {
			out[i].Error = r.damage.Error()
		}
	}
	return out, nil
}

// Backlog counts the pending rows of each queue that has any, sorted by queue.
func (t *Table) Backlog(ctx context.Context) ([]Backlog, error) {
	out, err := sqlconn.On(ctx, t.db, func(conn *sql.Conn) ([]Backlog, error) {
		return read(ctx, conn, t.q.backlog(), nil, func(rows *sql.Rows) (b Backlog, err error) {
			var age int64
			err = rows.Scan(&b.Queue, &b.Due, &b.Sending, &b.Delayed, &b.Retrying, &b.Failing, &age)
			b.Oldest = time.Duration(age) * time.Millisecond
			return b, err
		})
	})
	return out, t.wrap(ctx, "read", err)
}

// Clocks returns how far each schedule has come, sorted by name. A schedule that no relay
// has run yet is not among them.
func (t *Table) Clocks(ctx context.Context) ([]Clock, error) {
	out, err := sqlconn.On(ctx, t.db, func(conn *sql.Conn) ([]Clock, error) {
		return read(ctx, conn, t.q.readClocks(), nil, func(rows *sql.Rows) (c Clock, err error) {
			var last int64
			err = rows.Scan(&c.Name, &last, &c.Messages)
			c.Name, c.Last = strings.TrimPrefix(c.Name, clockKey), time.UnixMilli(last)
			return c, err
		})
	})
	return out, t.wrap(ctx, "read", err)
}

// args puts the driver's options before a statement's arguments. They are for the table's
// own database, whose driver takes them.
func (t *Table) args(tx Tx, args []any) []any {
	switch tx.(type) {
	case *sql.Tx, *sql.Conn, *sql.DB, own:
		if t.mode != nil && len(args) > 0 {
			return append([]any{t.mode}, args...)
		}
	}
	return args
}

// exec runs a statement in a transaction of its own and returns how many rows it changed.
func (t *Table) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return sqlconn.On(ctx, t.db, func(conn *sql.Conn) (int64, error) {
		res, err := conn.ExecContext(ctx, query, t.args(conn, args)...)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}

// transact calls f with a transaction of the table's database, which commits if f returns nil
// and is rolled back otherwise.
func (t *Table) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	_, err := sqlconn.Once(ctx, t.db, func(conn *sql.Conn) (struct{}, error) {
		return struct{}{}, transact(ctx, conn, func(tx *sql.Tx) error {
			if t.q.dialect == PostgreSQL {
				if _, err := tx.ExecContext(ctx, maxIdle); err != nil {
					return err
				}
			}
			return f(tx)
		})
	})
	return err
}

// note writes the latest error of a row.
func (t *Table) note(ctx context.Context, r *row, attempt int, err error) error {
	text := invoke.Text(err)
	if len(text) > 1024 {
		text = text[:1024]
	}
	_, err = t.exec(ctx, t.q.noteError(attempt), clean(text), r.seq, r.id)
	return err
}

func (t *Table) invalid(queue string, err error) error {
	return &drivers.Error{Code: drivers.Invalid, Queue: queue, Op: "send", Err: err}
}

// wrap gives an error of the database its code.
func (t *Table) wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	code, remedy := drivers.Transient, ""
	text := err.Error()
	switch state := sqlconn.State(err); {
	case state == "42P01", strings.Contains(text, "no such table"), strings.Contains(text, "Error 1146"):
		code, remedy = drivers.NotFound, "make the table with Table.Migrate or the SQL of outbox.Migration"
	case strings.Contains(text, "file is not a database"):
		code, remedy = drivers.Invalid, "the file is not a SQLite file: name another"
	case strings.Contains(text, "unable to open database file") && op == "migrate": // which would have made it
		code, remedy = drivers.Denied, "the file's directory must exist, this user must be allowed to write the file and in its directory, and the name must not be a directory's"
	case strings.Contains(text, "unable to open database file"): // SQLite's, also of a file that who looks must not make
		code, remedy = drivers.NotFound, "make the table with Table.Migrate or the SQL of outbox.Migration; the file's directory must exist"
	case state == "42703", strings.Contains(text, "no such column"), strings.Contains(text, "Error 1054"):
		code, remedy = drivers.Invalid, "the table is of another version, or another program's: compare it with the SQL of outbox.Migration"
	case state == "42501", strings.Contains(text, "Error 1142"):
		code, remedy = drivers.Denied, "grant SELECT, INSERT, UPDATE and DELETE on the table"
	}
	return drivers.Wrap(ctx, code, t.name, op, err, remedy)
}
