package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Receive implements [Engine].
func (s *SQLite) Receive(ctx context.Context, name string, r ReceiveRequest) ([]Received, error) {
	out, seen, err := s.try(ctx, name, &r)
	if len(out) > 0 || err != nil || r.Wait <= 0 {
		return out, err
	}
	deadline := later(seen.moment.at, r.Wait)
	w := s.bells.join(name)
	defer s.bells.leave(name, w)
	for {
		s.bells.set(name, math.MaxInt64) // what becomes due from now on rings
		out, seen, err := s.try(ctx, name, &r)
		if len(out) > 0 || err != nil || seen.moment.at >= deadline {
			return out, err
		}
		next := min(seen.next, deadline)
		s.bells.set(name, next)
		wait := time.Duration(max(next-seen.moment.at, 0)) - s.machine.read().now.Sub(seen.moment.now)
		select {
		case <-w.c:
		case <-s.machine.after(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.done:
			return nil, ErrClosed
		}
	}
}

// A look is what a receive saw that found nothing.
type look struct {
	moment moment
	next   int64 // when there may be something
}

// try receives what there is. If there is nothing it writes nothing, and returns
// when there will be something.
func (s *SQLite) try(ctx context.Context, name string, r *ReceiveRequest) (out []Received, seen look, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, look{}, err
	}
	defer func() { <-s.turn }()
	found := false
	err = s.retry(ctx, func() error {
		tx := &sqlTx{s: s}
		if err := tx.tick(false); err != nil {
			return err
		}
		q, _, err := tx.queue(name)
		if err != nil {
			return err
		}
		seen.moment = tx.moment
		seen.next, err = tx.next(q)
		found = seen.next <= tx.now || r.AttemptID != ""
		return err
	})
	if err != nil || !found {
		return nil, seen, s.wrap(err)
	}
	err = s.writeInTurn(ctx, name, func(tx *sqlTx, q *sqlQueue) error {
		seen.moment = tx.moment
		if out, err = tx.receive(q, r); err != nil || len(out) > 0 {
			return err
		}
		seen.next, err = tx.next(q)
		return err
	})
	if err != nil {
		return nil, look{}, err
	}
	return out, seen, nil
}

// next is when the queue's first message can be received, or something else
// happens that may let one be: a message that blocks its group gets too old.
func (tx *sqlTx) next(q *sqlQueue) (int64, error) {
	var alone, grouped, oldest sql.NullInt64
	err := tx.row(`SELECT (SELECT min(visible_at) FROM messages WHERE queue = ?1 AND ordered = 0),
		(SELECT min(ready_at) FROM groups WHERE queue = ?1), (SELECT min(enqueued_at) FROM messages WHERE queue = ?1)`, q.id).
		Scan(&alone, &grouped, &oldest)
	next := int64(math.MaxInt64)
	if alone.Valid {
		next = alone.Int64
	}
	if grouped.Valid {
		next = min(next, grouped.Int64)
	}
	if oldest.Valid {
		next = min(next, later(oldest.Int64, q.config.Retention))
	}
	return next, err
}

func (tx *sqlTx) receive(q *sqlQueue, r *ReceiveRequest) ([]Received, error) {
	visibility := r.Visibility
	if visibility < 0 {
		visibility = q.config.Visibility
	}
	if r.AttemptID != "" {
		out, err := tx.repeat(q, r.AttemptID, visibility)
		if out != nil || err != nil {
			return out, err
		}
	}
	p := &picker{tx: tx, q: q, n: max(r.Max, 1), spread: r.Spread}
	if err := p.pick(); err != nil {
		return nil, err
	}
	out, err := tx.deliver(q, p.taken, visibility, r.Into)
	if err == nil && r.AttemptID != "" && len(out) > 0 {
		err = tx.tryAgain(q, r.AttemptID, out, later(tx.now, visibility))
	}
	return out, err
}

// deliver leases the records that were picked. It answers in into where there is
// room.
func (tx *sqlTx) deliver(q *sqlQueue, taken []*record, visibility time.Duration, into []Received) ([]Received, error) {
	if len(taken) == 0 {
		return nil, nil
	}
	until := later(tx.now, visibility)
	delivery := newDelivery()
	out := slices.Grow(into[:0], len(taken))[:len(taken)]
	receipts := make([]byte, 0, len(taken)*receiptSize)
	for i, r := range taken {
		if r.large {
			if err := tx.row(largeBody, r.id).Scan(&r.body, &r.extra); err != nil {
				return nil, err
			}
		}
		r.receives++
		if r.firstReceived == 0 {
			r.firstReceived = tx.moment.wall()
		}
		r.visibleAt = until
		err := tx.exec("UPDATE messages SET visible_at = ?, receives = ?, first_received = ?, delivery = ? WHERE id = ?",
			until, r.receives, r.firstReceived, delivery, r.id)
		if err != nil {
			return nil, err
		}
		if r.ordered {
			tx.mark(q, r.group)
		}
		if out[i].Message, err = r.message(tx.moment); err != nil {
			return nil, fmt.Errorf("queue %q: message %q: %w", q.name, r.mid, err)
		}
		out[i].Deadline = tx.moment.show(until)
		receipts = appendReceipt(receipts, uint64(r.id), uint64(delivery)) // both are above zero
	}
	tx.offer(q, until)
	all := string(receipts)
	for i := range out {
		out[i].Receipt, all = all[:receiptSize], all[receiptSize:]
	}
	return out, nil
}

// newDelivery makes the number of a delivery, which is above zero. That it is
// unlikely to come again is enough.
func newDelivery() int64 { return rand.Int64() | 1 }

// storedDelivery is a delivery of a receive that can be repeated.
type storedDelivery struct {
	ID, Delivery, VisibleAt int64
}

// repeat returns the messages of an earlier receive with the same attempt ID, if
// all of them are still as it left them. Their leases begin anew.
func (tx *sqlTx) repeat(q *sqlQueue, attempt string, visibility time.Duration) ([]Received, error) {
	var stored string
	err := tx.row("SELECT deliveries FROM attempts WHERE queue = ? AND attempt = ? AND at > ?", q.id, attempt, earlier(tx.now, attemptWindow)).Scan(&stored)
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
	until := later(tx.now, visibility)
	out := make([]Received, len(ds))
	for i, r := range records {
		if r.large {
			if err := tx.row(largeBody, r.id).Scan(&r.body, &r.extra); err != nil {
				return nil, err
			}
		}
		if err := tx.exec("UPDATE messages SET visible_at = ? WHERE id = ?", until, r.id); err != nil {
			return nil, err
		}
		if r.ordered {
			tx.mark(q, r.group)
		}
		r.visibleAt, ds[i].VisibleAt = until, until
		if out[i].Message, err = r.message(tx.moment); err != nil {
			return nil, err
		}
		out[i].Receipt = string(appendReceipt(nil, uint64(r.id), uint64(ds[i].Delivery))) // both are above zero
		out[i].Deadline = tx.moment.show(until)
	}
	tx.offer(q, until)
	again, err := json.Marshal(ds)
	if err != nil {
		return nil, err
	}
	return out, tx.exec("UPDATE attempts SET deliveries = ? WHERE queue = ? AND attempt = ?", string(again), q.id, attempt)
}

func (tx *sqlTx) tryAgain(q *sqlQueue, attempt string, out []Received, until int64) error {
	ds := make([]storedDelivery, len(out))
	for i := range out {
		place, delivery, _ := parseReceipt(out[i].Receipt)
		ds[i] = storedDelivery{int64(place), int64(delivery), until} // they were above zero
	}
	stored, err := json.Marshal(ds)
	if err != nil {
		return err
	}
	if err := tx.exec("DELETE FROM attempts WHERE queue = ? AND at <= ?", q.id, earlier(tx.now, attemptWindow)); err != nil {
		return err
	}
	return tx.exec("INSERT OR REPLACE INTO attempts (queue, attempt, at, deliveries) VALUES (?, ?, ?, ?)", q.id, attempt, tx.now, string(stored))
}
