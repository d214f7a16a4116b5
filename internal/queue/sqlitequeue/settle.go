package sqlitequeue

import (
	"database/sql"
	"errors"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// releaseDelivery takes the latest delivery of a message back.
func releaseDelivery(tx *txn, q *queueRow, id, delivery int64, by time.Duration) (refused, err error) {
	var way via
	var group string
	var until int64
	// The new number is that of a delivery that nobody has.
	err = tx.row(`UPDATE messages SET receives = receives - 1, first_received = iif(receives + earlier > 1, first_received, 0), delivery = ?1,
		visible_at = iif(?2 AND visible_at > ?3, ?4, visible_at) WHERE id = ?5 AND delivery = ?6 RETURNING via, grp, visible_at`,
		newDelivery(), by >= 0, tx.now, store.Later(tx.now, by), id, delivery).Scan((*int64)(&way), &group, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return queue.ErrReceipt, nil
	case way == viaGroup:
		tx.mark(q, group)
	default:
		tx.offer(q, until)
	}
	return nil, err
}

// whyNot returns why a receipt of a message was not good.
func whyNot(tx *txn, id int64) (refused, err error) {
	var n int
	if err := tx.row("SELECT count(*) FROM messages WHERE id = ?", id).Scan(&n); err != nil {
		return nil, err
	}
	if n == 0 {
		return queue.ErrGone, nil
	}
	return queue.ErrReceipt, nil
}
