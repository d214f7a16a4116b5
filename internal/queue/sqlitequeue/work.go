package sqlitequeue

import (
	"errors"

	"github.com/sluice-go/sluice/internal/queue"
)

// A work is what a caller wants done on a queue in a transaction, which it may share
// with others'.
type work struct {
	name string
	sync bool // the commit waits for the disk
	do   func(tx *txn, q *queueRow) error

	// The fields below are those of the one who has taken it, until done is closed.
	more bool // more must be removed before do
	err  error
	done chan struct{}
}

// carryOut removes what is too old and does the work, unless there is more to
// remove. An error undoes the transaction; that the queue does not exist has changed
// nothing, and is the work's own.
func (w *work) carryOut(tx *txn) error {
	w.more, w.err = false, nil
	q, err := tx.queue(w.name)
	if errors.Is(err, queue.ErrNotFound) {
		w.err = err
		return nil
	}
	if err != nil {
		return err
	}
	if w.more, err = tx.expire(q); err != nil || w.more {
		return err
	}
	return w.do(tx, q)
}
