package queue

import (
	"database/sql"
	"errors"
)

// record is a row of messages.
type record struct {
	id, visibleAt, receives, firstReceived, enqueuedAt int64
	earlier, sentAt                                    int64
	ordered, large, exhausted                          bool
	mid, group, dedupe, source                         string
	attributes, body, extra                            []byte
}

const recordColumns = "id, ordered, visible_at, receives, first_received, enqueued_at, large, mid, grp, dedupe, source, attributes, body, extra, earlier, sent_at, exhausted"

const largeBody = "SELECT body, extra FROM bodies WHERE id = ?"

func (r *record) scan(rows *sql.Rows) error {
	return rows.Scan(&r.id, &r.ordered, &r.visibleAt, &r.receives, &r.firstReceived, &r.enqueuedAt, &r.large,
		&r.mid, &r.group, &r.dedupe, &r.source, &r.attributes, &r.body, &r.extra, &r.earlier, &r.sentAt, &r.exhausted)
}

// message returns the record as a message. A large one's body was read.
func (r *record) message(now moment) (Message, error) {
	attributes, err := decodeAttributes(r.attributes)
	m := Message{
		ID: r.mid, Body: r.body, Attributes: attributes, Group: r.group, DedupeID: r.dedupe, Extra: r.extra,
		EnqueuedAt: timeOf(r.sentAt), Sequence: r.id & (1<<seqBits - 1), Receives: int(r.earlier + r.receives),
		Source: r.source, Exhausted: r.exhausted, VisibleAt: now.show(r.visibleAt),
	}
	if r.firstReceived != 0 {
		m.FirstReceived = timeOf(r.firstReceived)
	}
	return m, err
}

// records reads rows of messages.
func (tx *sqlTx) records(query string, args ...any) ([]*record, error) {
	var out []*record
	err := tx.rows(query, func(rows *sql.Rows) error {
		r := &record{}
		out = append(out, r)
		return r.scan(rows)
	}, args...)
	return out, err
}

func (tx *sqlTx) strings(query string, args ...any) ([]string, error) {
	var out []string
	err := tx.rows(query, func(rows *sql.Rows) error {
		var v string
		err := rows.Scan(&v)
		out = append(out, v)
		return err
	}, args...)
	return out, err
}

func (tx *sqlTx) gonners(out *[]gonner, query string, args ...any) error {
	return tx.rows(query, func(r *sql.Rows) error {
		var g gonner
		err := r.Scan(&g.id, &g.ordered, &g.large, &g.group)
		*out = append(*out, g)
		return err
	}, args...)
}

// remove deletes messages.
func (tx *sqlTx) remove(q *sqlQueue, gone []gonner) error {
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
func (tx *sqlTx) sequences(q *sqlQueue, n int) (int64, error) {
	var last int64
	err := tx.row("UPDATE queues SET sequence = sequence + ? WHERE id = ? RETURNING sequence", n, q.id).Scan(&last)
	return q.low() + last - int64(n), err
}

// began tells a group of a new message: it is the group's first if there is no
// other.
func (tx *sqlTx) began(q *sqlQueue, group string, id, visibleAt int64) error {
	return tx.exec("INSERT INTO groups (queue, name, ready_at, head) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", q.id, group, visibleAt, id)
}

// transfer moves a message to a queue, as a new message of it that can be
// received at once. A source is where a dead letter came from; there is none if
// a task moves the message.
func (tx *sqlTx) transfer(q, to *sqlQueue, r *record, attributes []byte, source string, exhausted bool) error {
	before, err := tx.sequences(to, 1)
	if err != nil {
		return err
	}
	id := before + 1
	ordered := to.config.Ordered && r.group != ""
	enqueuedAt, sentAt := tx.now, tx.moment.wall()
	if source != "" && !q.config.Ordered {
		enqueuedAt, sentAt = r.enqueuedAt, r.sentAt
	}
	mid, dedupe, earlier, first := r.mid, r.dedupe, int64(0), int64(0)
	if q.config.Lax {
		if source == "" {
			mid = string(appendID(nil))
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
func (tx *sqlTx) deadLetters(q *sqlQueue) (*sqlQueue, error) {
	if q.config.DeadLetter == "" {
		return nil, nil
	}
	to, _, err := tx.queue(q.config.DeadLetter)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return to, err
}

func nullable(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
