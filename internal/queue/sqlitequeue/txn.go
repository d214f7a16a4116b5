package sqlitequeue

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue/internal/direct"
)

// A txn is a transaction.
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

// exec runs a statement. A transaction is short, and ends whole: no context
// interrupts it.
func (tx *txn) exec(query string, args ...any) error {
	stmt, err := tx.db.writer.Prepare(query)
	if err != nil {
		return err
	}
	return stmt.Exec(args...)
}

// change returns how many rows it changed.
func (tx *txn) change(query string, args ...any) (int64, error) {
	stmt, err := tx.db.writer.Prepare(query)
	if err != nil {
		return 0, err
	}
	if err := stmt.Exec(args...); err != nil {
		return 0, err
	}
	return stmt.Changes(), nil
}

// A oneRow is a row, or why there is none.
type oneRow struct {
	stmt *direct.Stmt
	err  error
}

func (r oneRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.stmt.First(dest...)
}

func (tx *txn) row(query string, args ...any) oneRow {
	stmt, err := tx.db.writer.Prepare(query)
	if err == nil {
		err = stmt.Begin(args...)
	}
	return oneRow{stmt, err}
}

// rows calls scan for each row.
func (tx *txn) rows(query string, scan func(r *direct.Stmt) error, args ...any) error {
	stmt, err := tx.db.writer.Prepare(query)
	if err != nil {
		return err
	}
	if err := stmt.Begin(args...); err != nil {
		return err
	}
	for {
		more, err := stmt.Next()
		if err != nil || !more {
			return err
		}
		if err := scan(stmt); err != nil {
			stmt.End()
			return err
		}
	}
}

// queue finds a queue.
func (tx *txn) queue(name string) (*queueRow, error) {
	known := tx.db.known.queues[name]
	if known != nil && known.checked {
		return known.row, nil
	}
	if known != nil {
		var version, passed int64
		err := tx.row("SELECT version, passed FROM queues WHERE id = ?", known.row.id).Scan(&version, &passed)
		if err == nil && version == known.row.version {
			known.checked, known.written = true, passed
			known.pass(passed)
			return known.row, nil
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		delete(tx.db.known.queues, name)
	}
	q := &queueRow{name: name}
	var config string
	var passed int64
	err := tx.row("SELECT id, version, created, config, passed FROM queues WHERE name = ?", name).Scan(&q.id, &q.version, &q.created, &config, &passed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("queue %q: %w", name, queue.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(config), &q.config); err != nil {
		return nil, fmt.Errorf("queue %q: its stored configuration: %w", name, err)
	}
	tx.db.known.queues[name] = &knownQueue{row: q, checked: true, passed: passed, written: passed}
	return q, nil
}

// aged reports whether a message of the queue may have been enqueued at the limit or
// before it. The answer comes from memory if no message is that old.
func (tx *txn) aged(q *queueRow, limit int64) (bool, error) {
	known := tx.db.known.queues[q.name]
	if known != nil && known.aged && known.oldest > limit {
		return false, nil
	}
	first, found, err := newLine(tx, q).first()
	if err != nil {
		return false, err
	}
	var v sql.NullInt64
	if err := tx.row("SELECT min(enqueued_at) FROM messages WHERE queue = ? AND via <> 2", q.id).Scan(&v); err != nil {
		return false, err
	}
	if !v.Valid {
		v.Int64 = math.MaxInt64
	}
	if found {
		v.Int64 = min(v.Int64, first.enqueuedAt)
	}
	if known != nil {
		known.oldest, known.aged = v.Int64, true
	}
	return v.Int64 <= limit, nil
}

// enqueued notes when a message that is added was enqueued.
func (tx *txn) enqueued(q *queueRow, at int64) {
	if known := tx.db.known.queues[q.name]; known != nil {
		known.oldest = min(known.oldest, at)
	}
}

// expireStep is how many messages are removed in one transaction, so that no
// one else has to wait long.
const expireStep = 2000

// expire removes messages that are too old, and reports whether there are more.
func (tx *txn) expire(q *queueRow) (more bool, err error) {
	limit := store.Earlier(tx.now, q.config.Retention)
	if old, err := tx.aged(q, limit); err != nil || !old {
		return false, err
	}
	var gone []gonner
	err = tx.gonners(&gone, "SELECT id, via = 1, large, grp FROM messages WHERE queue = ?+0 AND via <> 2 AND enqueued_at <= ?+0 ORDER BY enqueued_at LIMIT ?+0", q.id, limit, expireStep)
	if err == nil {
		err = newLine(tx, q).addOld(&gone, limit, expireStep)
	}
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

// A groupKey names a group.
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

// refresh computes when the group's next messages become available: when its
// first one is visible, and no message received before is hidden. Those are at
// the front.
func (tx *txn) refresh(q *queueRow, group string) error {
	var head, ready int64
	stop := errors.New("stop")
	err := tx.rows("SELECT id, visible_at, delivery FROM messages WHERE queue = ?+0 AND grp = ? AND via = 1 ORDER BY id",
		func(r *direct.Stmt) error {
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
	if err := tx.recall(); err != nil {
		return err
	}
	r := tx.db.machine.read()
	e := &tx.db.known.epoch
	missing := false
	if !tx.db.known.timed {
		err := tx.row("SELECT boot, uptime, wall, time FROM clock").Scan(&e.boot, &e.uptime, &e.wall, &e.time)
		missing = errors.Is(err, sql.ErrNoRows)
		if missing {
			*e = newEpoch(r)
		} else if err != nil {
			return err
		}
		tx.db.known.timed = !missing
	}
	tx.now = e.at(r)
	tx.moment = store.Moment{At: tx.now, Now: r.now}
	if !write || !missing && e.sameBoot(r) && r.uptime-e.uptime < int64(epochAge) {
		return nil
	}
	*e, tx.db.known.timed = epoch{r.boot, r.uptime, store.Nanos(r.now), tx.now}, true
	return tx.exec("INSERT INTO clock (id, boot, uptime, wall, time) VALUES (0, ?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET boot = ?1, uptime = ?2, wall = ?3, time = ?4",
		e.boot, e.uptime, e.wall, e.time)
}

// recall forgets what is known of the file if others have changed it.
func (tx *txn) recall() error {
	var version int64
	if err := tx.row("PRAGMA data_version").Scan(&version); err != nil {
		return err
	}
	if version != tx.db.known.version {
		tx.db.known.forget()
		tx.db.known.version = version
	}
	return nil
}

// records reads rows of messages.
func (tx *txn) records(query string, args ...any) ([]*record, error) {
	var out []*record
	var slab []record
	err := tx.rows(query, func(rows *direct.Stmt) error {
		if len(slab) == 0 {
			slab = make([]record, min(max(2*len(out), 1), 64))
		}
		r := &slab[0]
		slab = slab[1:]
		out = append(out, r)
		return r.scan(rows)
	}, args...)
	return out, err
}

func (tx *txn) strings(query string, args ...any) ([]string, error) {
	var out []string
	err := tx.rows(query, func(rows *direct.Stmt) error {
		var v string
		err := rows.Scan(&v)
		out = append(out, v)
		return err
	}, args...)
	return out, err
}

func (tx *txn) gonners(out *[]gonner, query string, args ...any) error {
	return tx.rows(query, func(r *direct.Stmt) error {
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
// first. The more often it is called while no other connection commits something, the
// more it reserves in the file for later transactions, up to mostSpare: the row is then
// written once for many messages. Sequences only increase: those that another
// connection reserves are beyond ours, and ours are forgotten when it commits.
func (tx *txn) sequences(q *queueRow, n int) (int64, error) {
	known := tx.db.known.queues[q.name]
	if before, ok := known.reserve(int64(n)); ok {
		return q.low() + before, nil
	}
	more := int64(n)
	if known != nil {
		known.stride = min(max(2*known.stride, 1), mostSpare)
		more = max(more, known.stride)
	}
	var last int64
	err := tx.row("UPDATE queues SET sequence = sequence + ? WHERE id = ? RETURNING sequence", more, q.id).Scan(&last)
	if err != nil {
		return 0, err
	}
	before := last - more
	if known != nil {
		known.next, known.spare = before+int64(n), more-int64(n)
	}
	return q.low() + before, nil
}

// lastSequence returns the last sequence that was used. Those that other connections
// have in spare are not used any more once the transaction has changed something.
func (tx *txn) lastSequence(q *queueRow) (last int64, err error) {
	err = tx.row("SELECT sequence FROM queues WHERE id = ?", q.id).Scan(&last)
	if known := tx.db.known.queues[q.name]; known != nil {
		last -= known.spare
	}
	return last, err
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
	way := viaOrder
	enqueuedAt, sentAt := tx.now, tx.moment.Wall()
	if source != "" && !q.config.Ordered {
		enqueuedAt, sentAt = r.enqueuedAt, r.sentAt
		way = viaTime // it may be older than those before it
	}
	if to.config.Ordered && r.group != "" {
		way = viaGroup
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
	err = tx.exec(`INSERT INTO messages (id, queue, via, visible_at, receives, first_received, delivery, enqueued_at, large, mid, grp, dedupe, source, attributes, body, extra, earlier, sent_at, exhausted)
		SELECT ?, ?, ?, ?, 0, ?, 0, ?, large, ?, grp, ?, ?, ?, body, extra, ?, ?, ? FROM messages WHERE id = ?`,
		id, to.id, int64(way), tx.now, first, enqueuedAt, mid, dedupe, source, attributes, earlier, sentAt, exhausted, r.id)
	if err != nil {
		return err
	}
	tx.enqueued(to, enqueuedAt)
	if way == viaGroup {
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
	return tx.removed(q, &gonner{id: r.id, ordered: r.via == viaGroup, group: r.group})
}

// deadLetters returns the queue that dead letters go to, or nil.
func (tx *txn) deadLetters(q *queueRow) (*queueRow, error) {
	if q.config.DeadLetter == "" {
		return nil, nil
	}
	to, err := tx.queue(q.config.DeadLetter)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	return to, err
}
