package queue

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// each runs what is to be done on each of n receipts in one transaction, and
// returns an error for each where one has failed. The receipt's own errors
// (ErrReceipt, ErrNoDeadLetter) leave the others alone.
func (s *SQLite) each(ctx context.Context, name string, n int, do func(tx *sqlTx, q *sqlQueue, i int) (refused, err error)) []error {
	var errs []error
	err := s.write(ctx, name, func(tx *sqlTx, q *sqlQueue) error {
		errs = nil
		for i := range n {
			refused, err := do(tx, q, i)
			if err != nil {
				return err
			}
			if refused != nil {
				if errs == nil {
					errs = make([]error, n)
				}
				errs[i] = refused
			}
		}
		return nil
	})
	if err != nil {
		return slices.Repeat([]error{err}, n)
	}
	return errs
}

// place reads a receipt of the queue.
func (q *sqlQueue) place(receipt string) (id, delivery int64, ok bool) {
	p, d, ok := parseReceipt(receipt)
	id, delivery = int64(p), int64(d) // what overflows is below zero, and refused
	return id, delivery, ok && id > q.low() && id < q.high() && delivery > 0
}

// Delete implements [Engine].
func (s *SQLite) Delete(ctx context.Context, name string, receipts []string) []error {
	return s.each(ctx, name, len(receipts), func(tx *sqlTx, q *sqlQueue, i int) (refused, err error) {
		id, delivery, ok := q.place(receipts[i])
		if !ok {
			return ErrReceipt, nil
		}
		g := gonner{id: id}
		err = tx.row("DELETE FROM messages WHERE id = ? AND delivery = ? RETURNING ordered, large, grp", id, delivery).
			Scan(&g.ordered, &g.large, &g.group)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrReceipt, nil
		}
		if err == nil {
			err = tx.removed(q, &g)
		}
		return nil, err
	})
}

// Change implements [Engine].
func (s *SQLite) Change(ctx context.Context, name string, cs []Change) []error {
	return s.each(ctx, name, len(cs), func(tx *sqlTx, q *sqlQueue, i int) (refused, err error) {
		id, delivery, ok := q.place(cs[i].Receipt)
		if !ok {
			return ErrReceipt, nil
		}
		if cs[i].Release {
			return tx.release(q, id, delivery, cs[i].By)
		}
		until := later(tx.now, max(cs[i].By, 0))
		var ordered bool
		var group string
		// The id is the message's own, and no other delivery of it has that number.
		err = tx.row("UPDATE messages SET visible_at = ? WHERE id = ? AND (delivery = ? AND visible_at > ? OR ? AND delivery > 0) RETURNING ordered, grp",
			until, id, delivery, tx.now, q.config.anyReceipt()).Scan(&ordered, &group)
		if errors.Is(err, sql.ErrNoRows) {
			return tx.whyNot(id)
		}
		if ordered {
			tx.mark(q, group)
		} else {
			tx.offer(q, until)
		}
		return nil, err
	})
}

// release takes the latest delivery of a message back.
func (tx *sqlTx) release(q *sqlQueue, id, delivery int64, by time.Duration) (refused, err error) {
	var ordered bool
	var group string
	var until int64
	// The new number is that of a delivery that nobody has.
	err = tx.row(`UPDATE messages SET receives = receives - 1, first_received = iif(receives + earlier > 1, first_received, 0), delivery = ?1,
		visible_at = iif(?2 AND visible_at > ?3, ?4, visible_at) WHERE id = ?5 AND delivery = ?6 RETURNING ordered, grp, visible_at`,
		newDelivery(), by >= 0, tx.now, later(tx.now, by), id, delivery).Scan(&ordered, &group, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrReceipt, nil
	case ordered:
		tx.mark(q, group)
	default:
		tx.offer(q, until)
	}
	return nil, err
}

// whyNot returns why a receipt of a message was not good.
func (tx *sqlTx) whyNot(id int64) (refused, err error) {
	var n int
	if err := tx.row("SELECT count(*) FROM messages WHERE id = ?", id).Scan(&n); err != nil {
		return nil, err
	}
	if n == 0 {
		return ErrGone, nil
	}
	return ErrReceipt, nil
}

// Reject implements [Engine].
func (s *SQLite) Reject(ctx context.Context, name string, rs []Rejection) []error {
	return s.each(ctx, name, len(rs), func(tx *sqlTx, q *sqlQueue, i int) (refused, err error) {
		id, delivery, ok := q.place(rs[i].Receipt)
		if !ok {
			return ErrReceipt, nil
		}
		found, err := tx.records("SELECT "+recordColumns+" FROM messages WHERE id = ? AND delivery = ?", id, delivery)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return ErrReceipt, nil
		}
		to, err := tx.deadLetters(q)
		if err != nil {
			return nil, err
		}
		if to == nil {
			return q.config.noDeadLetter(q.name), nil
		}
		return nil, tx.transfer(q, to, found[0], encodeAttributes(rs[i].Attributes), q.name, false)
	})
}
