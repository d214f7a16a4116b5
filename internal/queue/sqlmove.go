package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// beatPatience is how long a task whose process does not show itself counts as
// running. A task shows itself at every step, at least once a second.
const beatPatience = 15 * time.Second

const moveColumns = "handle, source, destination, rate, status, moved, to_move, started, failure, cursor, last, beat"

// sqlMove is a row of moves.
type sqlMove struct {
	Task
	cursor, last, beat int64
}

func (m *sqlMove) scan(scan func(...any) error) error {
	var started int64
	err := scan(&m.Handle, &m.Source, &m.Destination, &m.Rate, &m.Status, &m.Moved, &m.ToMove, &started, &m.Failure, &m.cursor, &m.last, &m.beat)
	m.Started = timeOf(started)
	return err
}

// StartMove implements [Engine].
func (s *SQLite) StartMove(ctx context.Context, source, destination string, rate int) (Task, error) {
	if source == destination {
		return Task{}, fmt.Errorf("queue %q: %w: a move to itself", source, ErrConfig)
	}
	t := Task{Handle: newHandle(), Source: source, Destination: destination, Rate: rate, Status: TaskRunning}
	err := s.write(ctx, source, func(tx *sqlTx, q *sqlQueue) error {
		if destination != "" {
			if _, _, err := tx.queue(destination); err != nil {
				return err
			}
		}
		if err := tx.bury(q); err != nil {
			return err
		}
		var running int
		if err := tx.row("SELECT count(*) FROM moves WHERE queue = ? AND status = ?", q.id, TaskRunning).Scan(&running); err != nil {
			return err
		}
		if running > 0 {
			return fmt.Errorf("queue %q: %w", source, ErrTaskRunning)
		}
		t.Started = tx.moment.now
		var last int64
		err := tx.row("SELECT (SELECT count(*) FROM messages WHERE queue = ?1 AND ordered IN (0, 1) AND visible_at <= ?2), (SELECT sequence FROM queues WHERE id = ?1)", q.id, tx.now).
			Scan(&t.ToMove, &last)
		if err != nil {
			return err
		}
		err = tx.exec("INSERT INTO moves ("+moveColumns+", queue) VALUES (?, ?, ?, ?, ?, 0, ?, ?, '', ?, ?, ?, ?)",
			t.Handle, t.Source, t.Destination, t.Rate, t.Status, t.ToMove, tx.moment.wall(), q.low(), q.low()+last, tx.now, q.id)
		if err != nil {
			return err
		}
		return tx.exec("DELETE FROM moves WHERE queue = ?1 AND id NOT IN (SELECT id FROM moves WHERE queue = ?1 ORDER BY id DESC LIMIT ?2)", q.id, keepMoves)
	})
	if err != nil {
		return Task{}, err
	}
	if err := s.enter(ctx); err != nil {
		return t, err // it is in the file and nobody runs it: it will count as failed
	}
	defer func() { <-s.turn }()
	stop := make(chan struct{})
	s.moving[t.Handle] = stop
	s.tasks.Go(func() { s.run(t, stop) })
	return t, nil
}

// bury ends tasks whose process has ended.
func (tx *sqlTx) bury(q *sqlQueue) error {
	handles, err := tx.strings("SELECT handle FROM moves WHERE queue = ? AND status = ? AND beat < ?", q.id, TaskRunning, earlier(tx.now, beatPatience))
	for _, h := range handles {
		if tx.s.moving[h] == nil && err == nil {
			err = tx.end(h, TaskFailed, "the process that ran the task has ended")
		}
	}
	return err
}

func (tx *sqlTx) end(handle string, status TaskStatus, failure string) error {
	return tx.exec("UPDATE moves SET status = ?, failure = ? WHERE handle = ?", status, failure, handle)
}

// abandon ends the tasks that this engine runs, because it closes. The caller
// has the turn.
func (s *SQLite) abandon() error {
	if len(s.moving) == 0 {
		return nil
	}
	return s.transact(context.Background(), func(tx *sqlTx) error {
		for h := range s.moving {
			if err := tx.end(h, TaskFailed, "the engine that ran the task was closed"); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *SQLite) run(t Task, stop chan struct{}) {
	var moved int64
	for {
		n, wait := pace(t.Rate, moved, s.machine.read().now.Sub(t.Started))
		if wait > 0 {
			select {
			case <-s.machine.after(wait):
			case <-stop:
				return
			case <-s.done:
				return
			}
			continue
		}
		m, err := s.step(t.Source, t.Handle, n)
		if errors.Is(err, ErrClosed) {
			return
		}
		if err != nil || m.Status != TaskRunning {
			s.ended(t.Handle, err)
			return
		}
		moved = m.Moved
	}
}

// ended forgets a task, and notes the error that ended it.
func (s *SQLite) ended(handle string, err error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	delete(s.moving, handle)
	if err != nil && !s.closed {
		// Where this fails as well the task counts as failed once it is not seen.
		_ = s.transact(context.Background(), func(tx *sqlTx) error { return tx.end(handle, TaskFailed, err.Error()) })
	}
}

// step moves up to n messages, and ends the task when there are no more.
func (s *SQLite) step(source, handle string, n int) (sqlMove, error) {
	var m sqlMove
	err := s.write(context.Background(), source, func(tx *sqlTx, q *sqlQueue) error {
		m = sqlMove{}
		err := m.scan(tx.row("SELECT "+moveColumns+" FROM moves WHERE handle = ?", handle).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			m.Status = TaskFailed // the queue was removed and made anew
			return nil
		}
		if err != nil || m.Status != TaskRunning {
			return err
		}
		failure, err := tx.moveSome(q, &m, n)
		if err != nil {
			return err
		}
		if failure != "" {
			m.Status, m.Failure = TaskFailed, failure
		} else if m.cursor >= m.last {
			m.Status = TaskCompleted
		}
		return tx.exec("UPDATE moves SET status = ?, failure = ?, moved = ?, cursor = ?, beat = ? WHERE handle = ?",
			m.Status, m.Failure, m.Moved, m.cursor, tx.now, handle)
	})
	return m, err
}

// moveSome moves up to n messages and sets the cursor behind the last that it
// looked at.
func (tx *sqlTx) moveSome(q *sqlQueue, m *sqlMove, n int) (failure string, err error) {
	records, err := tx.records("SELECT "+recordColumns+" FROM messages WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", m.cursor, m.last, moveStep)
	if err != nil {
		return "", err
	}
	for _, r := range records {
		if n == 0 {
			return "", nil
		}
		movable, err := tx.movable(q, r)
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
			to, _, err := tx.queue(name)
			if errors.Is(err, ErrNotFound) {
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
	if len(records) < moveStep {
		m.cursor = m.last
	}
	return "", nil
}

// movable is true for a message that can be received, and whose group has none
// before it.
func (tx *sqlTx) movable(q *sqlQueue, r *record) (bool, error) {
	if r.visibleAt > tx.now || !r.ordered {
		return r.visibleAt <= tx.now, nil
	}
	if err := tx.refresh(q, r.group); err != nil {
		return false, err
	}
	var readyAt, head int64
	err := tx.row("SELECT ready_at, head FROM groups WHERE queue = ? AND name = ?", q.id, r.group).Scan(&readyAt, &head)
	return head == r.id && readyAt <= tx.now, err
}

// CancelMove implements [Engine].
func (s *SQLite) CancelMove(ctx context.Context, handle string) (Task, error) {
	var m sqlMove
	err := s.file(ctx, func(tx *sqlTx) error {
		m = sqlMove{}
		err := m.scan(tx.row("SELECT "+moveColumns+" FROM moves WHERE handle = ?", handle).Scan)
		if errors.Is(err, sql.ErrNoRows) || err == nil && m.Status != TaskRunning {
			return ErrTaskNotFound
		}
		if err != nil {
			return err
		}
		m.Status = TaskCancelled
		return tx.end(handle, TaskCancelled, "")
	})
	if err != nil {
		return Task{}, err
	}
	if err := s.enter(ctx); err == nil {
		if stop := s.moving[handle]; stop != nil {
			close(stop)
			delete(s.moving, handle)
		}
		<-s.turn
	}
	return m.Task, nil
}

// Moves implements [Engine].
func (s *SQLite) Moves(ctx context.Context, source string) ([]Task, error) {
	var out []Task
	err := s.write(ctx, source, func(tx *sqlTx, q *sqlQueue) error {
		out = nil
		if err := tx.bury(q); err != nil {
			return err
		}
		return tx.rows("SELECT "+moveColumns+" FROM moves WHERE queue = ? ORDER BY id DESC LIMIT ?", func(rows *sql.Rows) error {
			var m sqlMove
			err := m.scan(rows.Scan)
			out = append(out, m.Task)
			return err
		}, q.id, keepMoves)
	})
	return out, err
}
