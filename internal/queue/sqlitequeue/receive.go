package sqlitequeue

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// A look records a receive that found no message.
type look struct {
	moment store.Moment
	next   int64 // when there may be something
}

// nextDue is when the queue's first message can be received, or something else
// happens that may let one be: a message that blocks its group gets too old.
func nextDue(tx *txn, q *queueRow) (int64, error) {
	first, found, err := newLine(tx, q).first()
	if err != nil {
		return 0, err
	}
	var alone, grouped, oldest sql.NullInt64
	err = tx.row(`SELECT (SELECT min(visible_at) FROM messages WHERE queue = ?1 AND via <> 2 AND via = 0),
		(SELECT min(ready_at) FROM groups WHERE queue = ?1), (SELECT min(enqueued_at) FROM messages WHERE queue = ?1 AND via <> 2)`, q.id).
		Scan(&alone, &grouped, &oldest)
	next := int64(math.MaxInt64)
	if found {
		next = min(first.visibleAt, store.Later(first.enqueuedAt, q.config.Retention))
	}
	if alone.Valid {
		next = min(next, alone.Int64)
	}
	if grouped.Valid {
		next = min(next, grouped.Int64)
	}
	if oldest.Valid {
		next = min(next, store.Later(oldest.Int64, q.config.Retention))
	}
	return next, err
}

func receive(tx *txn, q *queueRow, r *queue.ReceiveRequest) ([]queue.Received, error) {
	visibility := r.Visibility
	if visibility < 0 {
		visibility = q.config.Visibility
	}
	if r.AttemptID != "" {
		out, err := repeat(tx, q, r.AttemptID, visibility)
		if out != nil || err != nil {
			return out, err
		}
	}
	p := &picker{tx: tx, q: q, n: max(r.Max, 1), spread: r.Spread}
	if err := p.pick(); err != nil {
		return nil, err
	}
	out, err := deliver(tx, q, p.taken, visibility, r.Into)
	if err == nil {
		err = newLine(tx, q).writePassed()
	}
	if err == nil && r.AttemptID != "" && len(out) > 0 {
		err = keepAttempt(tx, q, r.AttemptID, out, store.Later(tx.now, visibility))
	}
	return out, err
}

// deliver leases the records that were picked. It answers in into if there is
// room.
func deliver(tx *txn, q *queueRow, taken []*record, visibility time.Duration, into []queue.Received) ([]queue.Received, error) {
	if len(taken) == 0 {
		return nil, nil
	}
	until := store.Later(tx.now, visibility)
	delivery := newDelivery()
	out := slices.Grow(into[:0], len(taken))[:len(taken)]
	receipts := make([]byte, 0, len(taken)*store.ReceiptSize)
	for i, r := range taken {
		if r.large {
			if err := tx.row(largeBody, r.id).Scan(&r.body, &r.extra); err != nil {
				return nil, err
			}
		}
		r.receives++
		if r.firstReceived == 0 {
			r.firstReceived = tx.moment.Wall()
		}
		r.visibleAt = until
		query := "UPDATE messages SET visible_at = ?, receives = ?, first_received = ?, delivery = ? WHERE id = ?"
		if r.via == viaOrder {
			query = "UPDATE messages SET via = 0, visible_at = ?, receives = ?, first_received = ?, delivery = ? WHERE id = ?"
			r.via = viaTime
			newLine(tx, q).pass(r.id)
		}
		if err := tx.exec(query, until, r.receives, r.firstReceived, delivery, r.id); err != nil {
			return nil, err
		}
		if r.via == viaGroup {
			tx.mark(q, r.group)
		}
		var err error
		if out[i].Message, err = r.message(tx.moment); err != nil {
			return nil, fmt.Errorf("queue %q: message %q: %w", q.name, r.mid, err)
		}
		out[i].Deadline = tx.moment.Show(until)
		receipts = store.AppendReceipt(receipts, uint64(r.id), uint64(delivery)) // both are above zero
	}
	tx.offer(q, until)
	all := string(receipts)
	for i := range out {
		out[i].Receipt, all = all[:store.ReceiptSize], all[store.ReceiptSize:]
	}
	return out, nil
}

// newDelivery makes the number of a delivery, which is above zero. It is enough
// that a repetition is unlikely.
func newDelivery() int64 { return rand.Int64() | 1 }

// storedDelivery is a delivery of a receive that can be repeated.
type storedDelivery struct {
	ID, Delivery, VisibleAt int64
}

// repeat returns the messages of an earlier receive with the same attempt ID, if
// all of them are still as it left them. Their leases restart.
func repeat(tx *txn, q *queueRow, attempt string, visibility time.Duration) ([]queue.Received, error) {
	var stored string
	err := tx.row("SELECT deliveries FROM attempts WHERE queue = ? AND attempt = ? AND at > ?", q.id, attempt, store.Earlier(tx.now, store.AttemptWindow)).Scan(&stored)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ds []storedDelivery
	if err := json.Unmarshal([]byte(stored), &ds); err != nil {
		return nil, err
	}
	records := make([]*record, len(ds))
	for i, d := range ds {
		found, err := tx.records("SELECT "+recordColumns+" FROM messages WHERE id = ? AND delivery = ? AND visible_at = ? AND visible_at > ?",
			d.ID, d.Delivery, d.VisibleAt, tx.now)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		records[i] = found[0]
	}
	until := store.Later(tx.now, visibility)
	out := make([]queue.Received, len(ds))
	for i, r := range records {
		if r.large {
			if err := tx.row(largeBody, r.id).Scan(&r.body, &r.extra); err != nil {
				return nil, err
			}
		}
		if err := tx.exec("UPDATE messages SET visible_at = ? WHERE id = ?", until, r.id); err != nil {
			return nil, err
		}
		if r.via == viaGroup {
			tx.mark(q, r.group)
		}
		r.visibleAt, ds[i].VisibleAt = until, until
		if out[i].Message, err = r.message(tx.moment); err != nil {
			return nil, err
		}
		out[i].Receipt = string(store.AppendReceipt(nil, uint64(r.id), uint64(ds[i].Delivery))) // both are above zero
		out[i].Deadline = tx.moment.Show(until)
	}
	tx.offer(q, until)
	again, err := json.Marshal(ds)
	if err != nil {
		return nil, err
	}
	return out, tx.exec("UPDATE attempts SET deliveries = ? WHERE queue = ? AND attempt = ?", string(again), q.id, attempt)
}

func keepAttempt(tx *txn, q *queueRow, attempt string, out []queue.Received, until int64) error {
	ds := make([]storedDelivery, len(out))
	for i := range out {
		place, delivery, _ := store.ParseReceipt(out[i].Receipt)
		ds[i] = storedDelivery{int64(place), int64(delivery), until} // they were above zero
	}
	stored, err := json.Marshal(ds)
	if err != nil {
		return err
	}
	if err := tx.exec("DELETE FROM attempts WHERE queue = ? AND at <= ?", q.id, store.Earlier(tx.now, store.AttemptWindow)); err != nil {
		return err
	}
	return tx.exec("INSERT OR REPLACE INTO attempts (queue, attempt, at, deliveries) VALUES (?, ?, ?, ?)", q.id, attempt, tx.now, string(stored))
}
