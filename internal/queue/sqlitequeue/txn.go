package sqlitequeue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// sqlTx is a transaction.
type txn struct {
	db     *database
	now    int64
	moment store.Moment // whose at is now
	dirty  map[groupKey]*queueRow
	rings  []string // queues with something new
	dues   []dueAt  // and with something that can be received later
}

type dueAt struct {
	name string
	at   int64
}

func (tx *txn) stmt(query string) (*sql.Stmt, error) {
	if stmt := tx.db.prepare[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := tx.db.writer.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	tx.db.prepare[query] = stmt
	return stmt, nil
}

func (tx *txn) exec(query string, args ...any) error {
	_, err := tx.change(query, args...)
	return err
}

// change returns how many rows it changed.
func (tx *txn) change(query string, args ...any) (int64, error) {
	stmt, err := tx.stmt(query) //nolint:sqlclosecheck // it is kept, and closed with the engine
	if err != nil {
		return 0, err
	}
	// A transaction is short, and ends whole: no context interrupts it.
	r, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// sqlRow is a row, or why there is none.
type oneRow struct {
	row *sql.Row
	err error
}

func (r oneRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.row.Scan(dest...)
}

func (tx *txn) row(query string, args ...any) oneRow {
	stmt, err := tx.stmt(query) //nolint:sqlclosecheck // it is kept, and closed with the engine
	if err != nil {
		return oneRow{err: err}
	}
	return oneRow{row: stmt.QueryRowContext(context.Background(), args...)}
}

// rows calls scan for each row.
func (tx *txn) rows(query string, scan func(r *sql.Rows) error, args ...any) error {
	stmt, err := tx.stmt(query) //nolint:sqlclosecheck // it is kept, and closed with the engine
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// queue finds a queue, and when its oldest message was enqueued.
func (tx *txn) queue(name string) (*queueRow, sql.NullInt64, error) {
	var oldest sql.NullInt64
	if q := tx.db.queues[name]; q != nil {
		var version int64
		err := tx.row("SELECT version, (SELECT min(enqueued_at) FROM messages WHERE queue = ?1) FROM queues WHERE id = ?1", q.id).
			Scan(&version, &oldest)
		if err == nil && version == q.version {
			return q, oldest, nil
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, oldest, err
		}
		delete(tx.db.queues, name)
	}
	q := &queueRow{name: name}
	var config string
	err := tx.row("SELECT id, version, created, config, (SELECT min(enqueued_at) FROM messages WHERE queue = queues.id) FROM queues WHERE name = ?", name).
		Scan(&q.id, &q.version, &q.created, &config, &oldest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, oldest, fmt.Errorf("queue %q: %w", name, queue.ErrNotFound)
	}
	if err != nil {
		return nil, oldest, err
	}
	if err := json.Unmarshal([]byte(config), &q.config); err != nil {
		return nil, oldest, fmt.Errorf("queue %q: its stored configuration: %w", name, err)
	}
	tx.db.queues[name] = q
	return q, oldest, nil
}

// expireStep is how many messages are removed in one transaction, so that no
// one else has to wait long.
const expireStep = 2000

// expire removes messages that are too old, and reports whether there are more.
func (tx *txn) expire(q *queueRow, oldest sql.NullInt64) (more bool, err error) {
	limit := store.Earlier(tx.now, q.config.Retention)
	if !oldest.Valid || oldest.Int64 > limit {
		return false, nil
	}
	var gone []gonner
	err = tx.gonners(&gone, "SELECT id, ordered, large, grp FROM messages WHERE queue = ? AND enqueued_at <= ? ORDER BY enqueued_at LIMIT ?", q.id, limit, expireStep)
	if err == nil {
		err = tx.remove(q, gone)
	}
	return len(gone) == expireStep, err
}

// gonner is a message whose row was deleted.
type gonner struct {
	id             int64
	ordered, large bool
	group          string
}

// removed does what else belongs to deleting a message.
func (tx *txn) removed(q *queueRow, g *gonner) error {
	if g.ordered {
		tx.mark(q, g.group)
	}
	if g.large {
		return tx.exec("DELETE FROM bodies WHERE id = ?", g.id)
	}
	return nil
}

// sqlGroup names a group.
type groupKey struct {
	queue int64
	name  string
}

// mark has flush look at the group.
func (tx *txn) mark(q *queueRow, group string) {
	if tx.dirty == nil {
		tx.dirty = map[groupKey]*queueRow{}
	}
	tx.dirty[groupKey{q.id, group}] = q
}

// flush brings the groups that something happened to up to date.
func (tx *txn) flush() error {
	for g, q := range tx.dirty {
		if err := tx.refresh(q, g.name); err != nil {
			return err
		}
	}
	return nil
}

// refresh finds out when the group's next messages can be had: when its first
// one can, and none of those that were received before is hidden. Those are at
// the front.
func (tx *txn) refresh(q *queueRow, group string) error {
	var head, ready int64
	stop := errors.New("stop")
	err := tx.rows("SELECT id, visible_at, delivery FROM messages WHERE queue = ? AND grp = ? AND ordered = 1 ORDER BY id",
		func(r *sql.Rows) error {
			var id, visible, delivery int64
			if err := r.Scan(&id, &visible, &delivery); err != nil {
				return err
			}
			if head == 0 {
				head, ready = id, visible
			}
			if delivery == 0 || q.config.Lax {
				return stop
			}
			ready = max(ready, visible)
			return nil
		}, q.id, group)
	if err != nil && !errors.Is(err, stop) {
		return err
	}
	if head == 0 {
		return tx.exec("DELETE FROM groups WHERE queue = ? AND name = ?", q.id, group)
	}
	tx.offer(q, ready)
	return tx.exec("INSERT INTO groups (queue, name, ready_at, head) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET ready_at = ?3, head = ?4",
		q.id, group, ready, head)
}

// offer wakes who waits for the queue, now or when the time comes.
func (tx *txn) offer(q *queueRow, at int64) {
	if at <= tx.now {
		for _, name := range tx.rings {
			if name == q.name {
				return
			}
		}
		tx.rings = append(tx.rings, q.name)
		return
	}
	if n := len(tx.dues); n > 0 && tx.dues[n-1].name == q.name {
		tx.dues[n-1].at = min(tx.dues[n-1].at, at)
		return
	}
	tx.dues = append(tx.dues, dueAt{q.name, at})
}

// tick reads the time of the transaction. One that writes calls it after it has
// waited for the lock, and notes the epoch in the file when it must.
func (tx *txn) tick(write bool) error {
	r := tx.db.machine.read()
	var e epoch
	err := tx.row("SELECT boot, uptime, wall, time FROM clock").Scan(&e.boot, &e.uptime, &e.wall, &e.time)
	missing := errors.Is(err, sql.ErrNoRows)
	if missing {
		e = newEpoch(r)
	} else if err != nil {
		return err
	}
	tx.now = e.at(r)
	tx.moment = store.Moment{At: tx.now, Now: r.now}
	if !write || !missing && e.sameBoot(r) && r.uptime-e.uptime < int64(epochAge) {
		return nil
	}
	return tx.exec("INSERT INTO clock (id, boot, uptime, wall, time) VALUES (0, ?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET boot = ?1, uptime = ?2, wall = ?3, time = ?4",
		r.boot, r.uptime, store.Nanos(r.now), tx.now)
}

// records reads rows of messages.
func (tx *txn) records(query string, args ...any) ([]*record, error) {
	var out []*record
	err := tx.rows(query, func(rows *sql.Rows) error {
		r := &record{}
		out = append(out, r)
		return r.scan(rows)
	}, args...)
	return out, err
}

func (tx *txn) strings(query string, args ...any) ([]string, error) {
	var out []string
	err := tx.rows(query, func(rows *sql.Rows) error {
		var v string
		err := rows.Scan(&v)
		out = append(out, v)
		return err
	}, args...)
	return out, err
}

func (tx *txn) gonners(out *[]gonner, query string, args ...any) error {
	return tx.rows(query, func(r *sql.Rows) error {
		var g gonner
		err := r.Scan(&g.id, &g.ordered, &g.large, &g.group)
		*out = append(*out, g)
		return err
	}, args...)
}

// remove deletes messages.
func (tx *txn) remove(q *queueRow, gone []gonner) error {
	for i := range gone {
		if err := tx.exec("DELETE FROM messages WHERE id = ?", gone[i].id); err != nil {
			return err
		}
		if err := tx.removed(q, &gone[i]); err != nil {
			return err
		}
	}
	return nil
}

// sequences reserves n sequences of a queue and returns the rowid before the
// first.
func (tx *txn) sequences(q *queueRow, n int) (int64, error) {
	var last int64
	err := tx.row("UPDATE queues SET sequence = sequence + ? WHERE id = ? RETURNING sequence", n, q.id).Scan(&last)
	return q.low() + last - int64(n), err
}

// began adds a new message to its group: it is the group's first if there is no
// other.
func (tx *txn) began(q *queueRow, group string, id, visibleAt int64) error {
	return tx.exec("INSERT INTO groups (queue, name, ready_at, head) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", q.id, group, visibleAt, id)
}

// transfer moves a message to a queue, as a new message of it that can be
// received immediately. source is the queue that a dead letter came from; it is
// empty if a task moves the message.
func (tx *txn) transfer(q, to *queueRow, r *record, attributes []byte, source string, exhausted bool) error {
	before, err := tx.sequences(to, 1)
	if err != nil {
		return err
	}
	id := before + 1
	ordered := to.config.Ordered && r.group != ""
	enqueuedAt, sentAt := tx.now, tx.moment.Wall()
	if source != "" && !q.config.Ordered {
		enqueuedAt, sentAt = r.enqueuedAt, r.sentAt
	}
	mid, dedupe, earlier, first := r.mid, r.dedupe, int64(0), int64(0)
	if q.config.Lax {
		if source == "" {
			mid = string(store.AppendID(nil))
		} else {
			earlier, first = r.earlier+r.receives, r.firstReceived
			if to.config.Ordered {
				dedupe = r.mid
			}
		}
	}
	err = tx.exec(`INSERT INTO messages (id, queue, ordered, visible_at, receives, first_received, delivery, enqueued_at, large, mid, grp, dedupe, source, attributes, body, extra, earlier, sent_at, exhausted)
		SELECT ?, ?, ?, ?, 0, ?, 0, ?, large, ?, grp, ?, ?, ?, body, extra, ?, ?, ? FROM messages WHERE id = ?`,
		id, to.id, ordered, tx.now, first, enqueuedAt, mid, dedupe, source, attributes, earlier, sentAt, exhausted, r.id)
	if err != nil {
		return err
	}
	if ordered {
		if err := tx.began(to, r.group, id, tx.now); err != nil {
			return err
		}
	}
	tx.offer(to, tx.now)
	if r.large {
		if err := tx.exec("UPDATE bodies SET id = ? WHERE id = ?", id, r.id); err != nil {
			return err
		}
	}
	if err := tx.exec("DELETE FROM messages WHERE id = ?", r.id); err != nil {
		return err
	}
	return tx.removed(q, &gonner{id: r.id, ordered: r.ordered, group: r.group})
}

// deadLetters returns the queue that dead letters go to, or nil.
func (tx *txn) deadLetters(q *queueRow) (*queueRow, error) {
	if q.config.DeadLetter == "" {
		return nil, nil
	}
	to, _, err := tx.queue(q.config.DeadLetter)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	return to, err
}
