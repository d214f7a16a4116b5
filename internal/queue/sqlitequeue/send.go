package sqlitequeue

import (
	"database/sql"
	"errors"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

func send(tx *txn, q *queueRow, ms []queue.Message) error {
	dedupes := q.config.DedupeWindow > 0
	if dedupes {
		err := tx.exec("DELETE FROM seen WHERE queue = ? AND enqueued_at <= ?", q.id, store.Earlier(tx.now, q.config.DedupeWindow))
		if err != nil {
			return err
		}
	}
	id, err := tx.sequences(q, len(ms)) // those of duplicates are left out
	if err != nil {
		return err
	}
	for i := range ms {
		m := &ms[i]
		m.Receives, m.FirstReceived, m.Source, m.Exhausted = 0, time.Time{}, "", false
		if dedupes && m.DedupeID != "" && !m.Again {
			found, err := duplicate(tx, q, m)
			if err != nil {
				return err
			}
			if found {
				continue
			}
		}
		id++
		if err := storeMessage(tx, q, m, id); err != nil {
			return err
		}
	}
	return nil
}

// duplicate completes m if it was sent before.
func duplicate(tx *txn, q *queueRow, m *queue.Message) (bool, error) {
	var id string
	var sequence, at int64
	err := tx.row("SELECT mid, sequence, enqueued_at FROM seen WHERE queue = ? AND scope = ? AND dedupe = ?",
		q.id, q.config.DedupeScope(m.Group), m.DedupeID).
		Scan(&id, &sequence, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m.ID, m.Sequence, m.EnqueuedAt, m.VisibleAt = id, sequence, tx.moment.Show(at), tx.moment.Show(at)
	return true, nil
}

// storeMessage inserts a message.
func storeMessage(tx *txn, q *queueRow, m *queue.Message, id int64) error {
	delay := m.Delay
	if delay < 0 {
		delay = q.config.Delay
	}
	visibleAt := store.Later(tx.now, delay)
	way := viaOrder
	switch {
	case q.config.Ordered && m.Group != "":
		way = viaGroup
	case visibleAt != tx.now:
		way = viaTime
	}
	body, extra := nullable(m.Body), nullable(m.Extra)
	large := len(body)+len(extra) > smallBody
	if large {
		if err := tx.exec("INSERT INTO bodies (id, body, extra) VALUES (?, ?, ?)", id, body, extra); err != nil {
			return err
		}
		body, extra = nil, nil
	}
	err := tx.exec(`INSERT INTO messages (id, queue, via, visible_at, receives, first_received, delivery, enqueued_at, large, mid, grp, dedupe, source, attributes, body, extra, sent_at)
		VALUES (?, ?, ?, ?, 0, 0, 0, ?, ?, ?, ?, ?, '', ?, ?, ?, ?)`,
		id, q.id, int64(way), visibleAt, tx.now, large, m.ID, m.Group, m.DedupeID, encodeAttributes(m.Attributes), body, extra, tx.moment.Wall())
	if err != nil {
		return err
	}
	tx.enqueued(q, tx.now)
	if way == viaGroup {
		if err := tx.began(q, m.Group, id, visibleAt); err != nil {
			return err
		}
	}
	tx.offer(q, visibleAt)
	m.Sequence = id - q.low()
	m.EnqueuedAt, m.VisibleAt = store.TimeOf(tx.moment.Wall()), tx.moment.Show(visibleAt)
	if q.config.DedupeWindow > 0 && m.DedupeID != "" {
		return tx.exec("INSERT OR REPLACE INTO seen (queue, scope, dedupe, mid, sequence, enqueued_at) VALUES (?, ?, ?, ?, ?, ?)",
			q.id, q.config.DedupeScope(m.Group), m.DedupeID, m.ID, m.Sequence, tx.now)
	}
	return nil
}
