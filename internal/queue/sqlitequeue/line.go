package sqlitequeue

import (
	"errors"

	"github.com/sluice-go/sluice/internal/queue/sqlitequeue/internal/direct"
)

// mostSkipped bounds the rowids that a receive goes through to find messages which
// wait in the order of sending, from the first one on.
const mostSkipped = 4096

// unwrittenPassed is how many rowids a queue may have passed that the file says
// nothing of. They are gone through again when the file is opened.
const unwrittenPassed = 64

// A line is the messages of a queue that wait in the order of sending, in a
// transaction.
type line struct {
	tx    *txn
	q     *queueRow
	known *knownQueue // nil if the queue has just changed
}

func newLine(tx *txn, q *queueRow) line { return line{tx, q, tx.db.known.queues[q.name]} }

// passed returns a rowid at or below which none of the queue's messages waits in the
// order of sending.
func (l line) passed() int64 {
	if l.known != nil {
		return max(l.known.passed, l.q.low())
	}
	return l.q.low()
}

func (l line) pass(id int64) {
	if l.known != nil {
		l.known.pass(id)
	}
}

// writePassed writes how far the queue has passed to the file, if that is worth it.
func (l line) writePassed() error {
	known := l.known
	if known == nil || known.passed-max(known.written, l.q.low()) < unwrittenPassed {
		return nil
	}
	known.written = known.passed
	return l.tx.exec("UPDATE queues SET passed = max(passed, ?) WHERE id = ?", known.passed, l.q.id)
}

// A waitingFirst is the first message that waits in the order of sending.
type waitingFirst struct{ id, visibleAt, enqueuedAt int64 }

// first finds the first message that waits in the order of sending. Rows before it
// are gone through once. The transaction must see one moment: otherwise a message that
// is added between two statements would be passed, and never received.
func (l line) first() (f waitingFirst, found bool, err error) {
	err = l.tx.rows("SELECT id, visible_at, enqueued_at FROM messages WHERE id > ? AND id < ? AND via = 2 ORDER BY id LIMIT 1", func(r *direct.Stmt) error {
		found = true
		return r.Scan(&f.id, &f.visibleAt, &f.enqueuedAt)
	}, l.passed(), l.q.high())
	if err != nil {
		return f, false, err
	}
	if found {
		l.pass(f.id - 1)
		return f, true, nil
	}
	var last int64
	err = l.tx.row("SELECT max(id) FROM messages WHERE id > ? AND id < ?", l.passed(), l.q.high()).Scan(&last)
	l.pass(last)
	return f, false, err
}

// after returns up to n messages that wait in the order of sending and have a
// higher rowid than id, and whether there may be more.
func (l line) after(id int64, n int) (out []*record, more bool, err error) {
	f, found, err := l.first()
	if err != nil || !found {
		return nil, false, err
	}
	id = max(id, f.id-1)
	end := min(id+max(mostSkipped, int64(4*n)), l.q.high())
	out, err = l.tx.records("SELECT "+recordColumns+" FROM messages WHERE id > ? AND id < ? AND via = 2 ORDER BY id LIMIT ?+0", id, end, n)
	if err != nil {
		return nil, false, err
	}
	for i, r := range out {
		if r.visibleAt > l.tx.now { // by the clock of another process
			return out[:i], false, nil
		}
	}
	if len(out) == n {
		return out, true, nil
	}
	err = l.tx.row("SELECT EXISTS (SELECT 1 FROM messages WHERE id >= ? AND id < ?)", end, l.q.high()).Scan(&more)
	return out, more, err
}

// addOld adds the messages that wait in the order of sending and were enqueued
// at the limit or before it, until there are n.
func (l line) addOld(gone *[]gonner, limit int64, n int) error {
	stop := errors.New("stop")
	err := l.tx.rows("SELECT id, large, grp, enqueued_at FROM messages WHERE id > ? AND id < ? AND via = 2 ORDER BY id", func(r *direct.Stmt) error {
		var g gonner
		var at int64
		if err := r.Scan(&g.id, &g.large, &g.group, &at); err != nil {
			return err
		}
		if at > limit || len(*gone) >= n {
			return stop
		}
		*gone = append(*gone, g)
		return nil
	}, l.passed(), l.q.high())
	if errors.Is(err, stop) {
		return nil
	}
	return err
}
