package sqlitequeue

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// beatPatience is how long a task whose process does not show itself counts as
// running. A task shows itself at every step, at least once a second.
const beatPatience = 15 * time.Second

const moveColumns = "handle, source, destination, rate, status, moved, to_move, started, failure, cursor, last, beat"

// A moveRow is a row of moves.
type moveRow struct {
	queue.Task
	cursor, last, beat int64
}

func (m *moveRow) scan(scan func(...any) error) error {
	var started int64
	err := scan(&m.Handle, &m.Source, &m.Destination, &m.Rate, (*string)(&m.Status), &m.Moved, &m.ToMove, &started, &m.Failure, &m.cursor, &m.last, &m.beat)
	m.Started = store.TimeOf(started)
	return err
}

func endMove(tx *txn, handle string, status queue.TaskStatus, failure string) error {
	return tx.exec("UPDATE moves SET status = ?, failure = ? WHERE handle = ?", string(status), failure, handle)
}

// moveSome moves up to n messages and sets the cursor behind the last that it
// looked at.
func moveSome(tx *txn, q *queueRow, m *moveRow, n int) (failure string, err error) {
	records, err := tx.records("SELECT "+recordColumns+" FROM messages WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", m.cursor, m.last, store.MoveStep)
	if err != nil {
		return "", err
	}
	for _, r := range records {
		if n == 0 {
			return "", nil
		}
		movable, err := movable(tx, q, r)
		if err != nil {
			return "", err
		}
		if movable {
			name := m.Destination
			if name == "" {
				name = r.source
			}
			switch name {
			case "":
				return fmt.Sprintf("message %q has no source: it was sent to queue %q directly", r.mid, q.name), nil
			case q.name:
				return fmt.Sprintf("message %q came from queue %q itself", r.mid, q.name), nil
			}
			to, err := tx.queue(name)
			if errors.Is(err, queue.ErrNotFound) {
				return fmt.Sprintf("queue %q does not exist", name), nil
			}
			if err != nil {
				return "", err
			}
			if err := tx.transfer(q, to, r, r.attributes, "", false); err != nil {
				return "", err
			}
			m.Moved++
			n--
		}
		m.cursor = r.id
	}
	if len(records) < store.MoveStep {
		m.cursor = m.last
	}
	return "", nil
}

// movable is true for a message that can be received, and whose group has none
// before it.
func movable(tx *txn, q *queueRow, r *record) (bool, error) {
	if r.visibleAt > tx.now || r.via != viaGroup {
		return r.visibleAt <= tx.now, nil
	}
	if err := tx.refresh(q, r.group); err != nil {
		return false, err
	}
	var readyAt, head int64
	err := tx.row("SELECT ready_at, head FROM groups WHERE queue = ? AND name = ?", q.id, r.group).Scan(&readyAt, &head)
	return head == r.id && readyAt <= tx.now, err
}
