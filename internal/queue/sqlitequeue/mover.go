package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// A mover runs the move tasks that this engine started. The database's turn
// guards it.
type mover struct {
	db      *database
	running map[string]chan struct{} // by handle; closed to cancel
	tasks   sync.WaitGroup
}

// start runs the task until it ends. The caller has the turn.
func (m *mover) start(t queue.Task) {
	stop := make(chan struct{})
	m.running[t.Handle] = stop
	m.tasks.Go(func() { m.run(t, stop) })
}

// cancel stops running the task, if this engine runs it. The caller has the turn.
func (m *mover) cancel(handle string) {
	if stop := m.running[handle]; stop != nil {
		close(stop)
		delete(m.running, handle)
	}
}

// bury ends tasks whose process has ended.
func (m *mover) bury(tx *txn, q *queueRow) error {
	handles, err := tx.strings("SELECT handle FROM moves WHERE queue = ? AND status = ? AND beat < ?", q.id, string(queue.TaskRunning), store.Earlier(tx.now, beatPatience))
	for _, h := range handles {
		if m.running[h] == nil && err == nil {
			err = endMove(tx, h, queue.TaskFailed, "the process that ran the task has ended")
		}
	}
	return err
}

// abandon ends the tasks that this engine runs, because it closes. The caller
// has the turn.
func (m *mover) abandon() error {
	if len(m.running) == 0 {
		return nil
	}
	return m.db.transact(context.Background(), func(tx *txn) error {
		for h := range m.running {
			if err := endMove(tx, h, queue.TaskFailed, "the engine that ran the task was closed"); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *mover) run(t queue.Task, stop chan struct{}) {
	var moved int64
	for {
		n, wait := store.Pace(t.Rate, moved, m.db.machine.read().now.Sub(t.Started))
		if wait > 0 {
			select {
			case <-m.db.machine.after(wait):
			case <-stop:
				return
			case <-m.db.done:
				return
			}
			continue
		}
		row, err := m.step(t.Source, t.Handle, n)
		if errors.Is(err, queue.ErrClosed) {
			return
		}
		if err != nil || row.Status != queue.TaskRunning {
			m.ended(t.Handle, err)
			return
		}
		moved = row.Moved
	}
}

// ended forgets a task, and notes the error that ended it.
func (m *mover) ended(handle string, err error) {
	m.db.turn <- struct{}{}
	defer func() { <-m.db.turn }()
	delete(m.running, handle)
	if err != nil && !m.db.closed {
		// Where this fails as well the task counts as failed once it is not seen.
		_ = m.db.transact(context.Background(), func(tx *txn) error { return endMove(tx, handle, queue.TaskFailed, err.Error()) })
	}
}

// step moves up to n messages and ends the task after the last.
func (m *mover) step(source, handle string, n int) (moveRow, error) {
	var row moveRow
	err := m.db.write(context.Background(), source, func(tx *txn, q *queueRow) error {
		row = moveRow{}
		err := row.scan(tx.row("SELECT "+moveColumns+" FROM moves WHERE handle = ?", handle).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			row.Status = queue.TaskFailed // the queue was removed and made anew
			return nil
		}
		if err != nil || row.Status != queue.TaskRunning {
			return err
		}
		failure, err := moveSome(tx, q, &row, n)
		if err != nil {
			return err
		}
		if failure != "" {
			row.Status, row.Failure = queue.TaskFailed, failure
		} else if row.cursor >= row.last {
			row.Status = queue.TaskCompleted
		}
		return tx.exec("UPDATE moves SET status = ?, failure = ?, moved = ?, cursor = ?, beat = ? WHERE handle = ?",
			string(row.Status), row.Failure, row.Moved, row.cursor, tx.now, handle)
	})
	return row, err
}
