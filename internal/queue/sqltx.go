package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// sqlTx is a transaction.
type sqlTx struct {
	s      *SQLite
	now    int64
	moment moment // whose at is now
	dirty  map[sqlGroup]*sqlQueue
	rings  []string // queues with something new
	dues   []dueAt  // and with something that can be received later
}

type dueAt struct {
	name string
	at   int64
}

func (tx *sqlTx) stmt(query string) (*sql.Stmt, error) {
	if stmt := tx.s.prepare[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := tx.s.writer.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	tx.s.prepare[query] = stmt
	return stmt, nil
}

func (tx *sqlTx) exec(query string, args ...any) error {
	_, err := tx.change(query, args...)
	return err
}

// change returns how many rows it changed.
func (tx *sqlTx) change(query string, args ...any) (int64, error) {
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
type sqlRow struct {
	row *sql.Row
	err error
}

func (r sqlRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.row.Scan(dest...)
}

func (tx *sqlTx) row(query string, args ...any) sqlRow {
	stmt, err := tx.stmt(query) //nolint:sqlclosecheck // it is kept, and closed with the engine
	if err != nil {
		return sqlRow{err: err}
	}
	return sqlRow{row: stmt.QueryRowContext(context.Background(), args...)}
}

// rows calls scan for each row.
func (tx *sqlTx) rows(query string, scan func(r *sql.Rows) error, args ...any) error {
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
func (tx *sqlTx) queue(name string) (*sqlQueue, sql.NullInt64, error) {
	var oldest sql.NullInt64
	if q := tx.s.queues[name]; q != nil {
		var version int64
		err := tx.row("SELECT version, (SELECT min(enqueued_at) FROM messages WHERE queue = ?1) FROM queues WHERE id = ?1", q.id).
			Scan(&version, &oldest)
		if err == nil && version == q.version {
			return q, oldest, nil
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, oldest, err
		}
		delete(tx.s.queues, name)
	}
	q := &sqlQueue{name: name}
	var config string
	err := tx.row("SELECT id, version, created, config, (SELECT min(enqueued_at) FROM messages WHERE queue = queues.id) FROM queues WHERE name = ?", name).
		Scan(&q.id, &q.version, &q.created, &config, &oldest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, oldest, fmt.Errorf("queue %q: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, oldest, err
	}
	if err := json.Unmarshal([]byte(config), &q.config); err != nil {
		return nil, oldest, fmt.Errorf("queue %q: its stored configuration: %w", name, err)
	}
	tx.s.queues[name] = q
	return q, oldest, nil
}

// expireStep is how many messages are removed in one transaction, so that no
// one else has to wait long.
const expireStep = 2000

// expire removes what is too old, and tells whether there is more.
func (tx *sqlTx) expire(q *sqlQueue, oldest sql.NullInt64) (more bool, err error) {
	limit := earlier(tx.now, q.config.Retention)
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
func (tx *sqlTx) removed(q *sqlQueue, g *gonner) error {
	if g.ordered {
		tx.mark(q, g.group)
	}
	if g.large {
		return tx.exec("DELETE FROM bodies WHERE id = ?", g.id)
	}
	return nil
}

// sqlGroup names a group.
type sqlGroup struct {
	queue int64
	name  string
}

// mark has flush look at the group.
func (tx *sqlTx) mark(q *sqlQueue, group string) {
	if tx.dirty == nil {
		tx.dirty = map[sqlGroup]*sqlQueue{}
	}
	tx.dirty[sqlGroup{q.id, group}] = q
}

// flush brings the groups that something happened to up to date.
func (tx *sqlTx) flush() error {
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
func (tx *sqlTx) refresh(q *sqlQueue, group string) error {
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
func (tx *sqlTx) offer(q *sqlQueue, at int64) {
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
