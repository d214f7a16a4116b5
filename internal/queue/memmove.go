package queue

import (
	"context"
	"fmt"
	"time"
)

// memTask is a move task of an engine in memory. The engine's mutex guards it.
type memTask struct {
	Task
	source *memQueue
	begin  int64 // Started by the engine's time
	// limit is the last sequence that was there when the task began.
	limit int64
	stop  chan struct{} // closed when the task is cancelled
}

// StartMove implements [Engine].
func (m *Memory) StartMove(ctx context.Context, source, destination string, rate int) (Task, error) {
	if source == destination {
		return Task{}, fmt.Errorf("queue %q: %w: a move to itself", source, ErrConfig)
	}
	q, _, err := m.enter(ctx, source)
	if err != nil {
		return Task{}, err
	}
	defer m.mu.Unlock()
	if destination != "" {
		if _, err := m.find(destination); err != nil {
			return Task{}, err
		}
	}
	if n := len(q.moves); n > 0 && q.moves[n-1].Status == TaskRunning {
		return Task{}, fmt.Errorf("queue %q: %w", source, ErrTaskRunning)
	}
	t := &memTask{
		Task: Task{
			Handle: newHandle(), Source: source, Destination: destination, Rate: rate,
			Status: TaskRunning, ToMove: q.stats().Visible, Started: m.moment.now,
		},
		source: q, begin: m.moment.at, limit: q.sequence, stop: make(chan struct{}),
	}
	q.cursor = q.oldest
	if len(q.moves) == keepMoves {
		q.moves = append(q.moves[:0], q.moves[1:]...)
	}
	q.moves = append(q.moves, t)
	m.running[t.Handle] = t
	m.tasks.Go(func() { m.run(t) })
	return t.Task, nil
}

func (m *Memory) run(t *memTask) {
	for {
		m.mu.Lock()
		n, wait := pace(t.Rate, t.Moved, time.Duration(m.now()-t.begin))
		if wait == 0 && !m.closed && t.Status == TaskRunning {
			m.step(t, n)
		}
		running := !m.closed && t.Status == TaskRunning
		m.mu.Unlock()
		if !running {
			return
		}
		if wait > 0 {
			select {
			case <-m.ticker.after(wait):
			case <-t.stop:
			case <-m.done:
			}
		}
	}
}

// step moves up to n messages, and ends the task when there are no more.
func (m *Memory) step(t *memTask, n int) {
	q, now := t.source, m.now()
	if q.removed {
		m.end(t, TaskFailed, fmt.Sprintf("queue %q was removed", q.name))
		return
	}
	q.advance(now)
	defer q.flush()
	for looked := 0; n > 0 && looked < lookStep; looked++ {
		e := q.cursor
		if e == nil || e.sequence > t.limit {
			break
		}
		if !q.movable(e) {
			q.cursor = e.newer
			continue
		}
		name := t.Destination
		if name == "" {
			name = e.source
		}
		to := m.queues[name]
		switch {
		case name == "":
			m.end(t, TaskFailed, fmt.Sprintf("message %q has no source: it was sent to queue %q directly", e.id, q.name))
			return
		case to == nil:
			m.end(t, TaskFailed, fmt.Sprintf("queue %q does not exist", name))
			return
		case to == q:
			m.end(t, TaskFailed, fmt.Sprintf("message %q came from queue %q itself", e.id, q.name))
			return
		}
		to.advance(now)
		q.transfer(e, to, now, e.attributes, "") // moves the cursor on
		t.Moved++
		n--
	}
	if e := q.cursor; e == nil || e.sequence > t.limit {
		m.end(t, TaskCompleted, "")
	}
}

// movable is true for an entry that can be received, and whose group has none
// before it.
func (q *memQueue) movable(e *entry) bool {
	return !e.hidden && (e.group == nil || e.ahead == nil && (e.group.leased == 0 || q.config.Lax))
}

func (m *Memory) end(t *memTask, s TaskStatus, failure string) {
	t.Status, t.Failure = s, failure
	t.source.cursor = nil
	delete(m.running, t.Handle)
}

// CancelMove implements [Engine].
func (m *Memory) CancelMove(ctx context.Context, handle string) (Task, error) {
	if err := ctx.Err(); err != nil {
		return Task{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Task{}, ErrClosed
	}
	t := m.running[handle]
	if t == nil {
		return Task{}, ErrTaskNotFound
	}
	m.end(t, TaskCancelled, "")
	close(t.stop)
	return t.Task, nil
}

// Moves implements [Engine].
func (m *Memory) Moves(ctx context.Context, source string) ([]Task, error) {
	q, _, err := m.enter(ctx, source)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var out []Task
	for i := len(q.moves) - 1; i >= 0; i-- {
		out = append(out, q.moves[i].Task)
	}
	return out, nil
}
