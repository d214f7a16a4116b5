package embedded

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/queue"
)

// StartRedrive starts moving every letter back to this queue. Where other
// queues share the dead-letter queue it is refused: their letters would come
// along.
func (s *Source) StartRedrive(ctx context.Context, rate int) (drivers.RedriveTask, error) {
	if err := s.usable(ctx, "redrive"); err != nil {
		return drivers.RedriveTask{}, err
	}
	letters, err := s.which("redrive", true)
	if err != nil {
		return drivers.RedriveTask{}, err
	}
	if err := s.unshared(ctx, letters); err != nil {
		return drivers.RedriveTask{}, err
	}
	t, err := s.Engine.StartMove(ctx, letters, s.Queue, rate)
	if err != nil {
		return drivers.RedriveTask{}, s.fail(ctx, "redrive", err)
	}
	return taskOf(t), nil
}

// unshared fails if another queue has the same dead-letter queue.
func (s *Source) unshared(ctx context.Context, letters string) error {
	names, err := s.Engine.List(ctx)
	if err != nil {
		return s.fail(ctx, "redrive", err)
	}
	for _, name := range names {
		if name == s.Queue {
			continue
		}
		c, _, err := s.Engine.Config(ctx, name)
		if err == nil && c.DeadLetter == letters {
			return &drivers.Error{
				Code: drivers.Invalid, Queue: s.Queue, Op: "redrive",
				Err:    fmt.Errorf("the dead-letter queue %q is also that of queue %q, whose letters would come along", letters, name),
				Remedy: "redrive selectively, by source: sluice redrive --source " + s.Queue,
			}
		}
	}
	return nil
}

// Redrives lists the latest tasks on the dead-letter queue.
func (s *Source) Redrives(ctx context.Context) ([]drivers.RedriveTask, error) {
	if err := s.usable(ctx, "redrive"); err != nil {
		return nil, err
	}
	letters, err := s.which("redrive", true)
	if err != nil {
		return nil, err
	}
	ts, err := s.Engine.Moves(ctx, letters)
	if err != nil {
		return nil, s.fail(ctx, "redrive", err)
	}
	out := make([]drivers.RedriveTask, len(ts))
	for i, t := range ts {
		out[i] = taskOf(t)
	}
	return out, nil
}

// CancelRedrive stops a running task.
func (s *Source) CancelRedrive(ctx context.Context, id string) error {
	if err := s.usable(ctx, "redrive"); err != nil {
		return err
	}
	_, err := s.Engine.CancelMove(ctx, id)
	return s.fail(ctx, "redrive", err)
}

func taskOf(t queue.Task) drivers.RedriveTask {
	out := drivers.RedriveTask{ID: t.Handle, Moved: t.Moved, Total: t.ToMove, Started: t.Started, Failure: t.Failure}
	switch t.Status {
	case queue.TaskCompleted:
		out.Status = drivers.RedriveCompleted
	case queue.TaskCancelled, queue.TaskCancelling:
		out.Status = drivers.RedriveCancelled
	case queue.TaskFailed:
		out.Status = drivers.RedriveFailed
	default:
		out.Status = drivers.RedriveRunning
	}
	return out
}

// OpenDeadLetters opens the dead-letter queue for receiving.
func (s *Source) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	if err := s.usable(ctx, "open dead letters"); err != nil {
		return nil, err
	}
	letters, err := s.which("open dead letters", true)
	if err != nil {
		return nil, err
	}
	t := s.Target
	t.Queue, t.Release = letters, nil
	return t.OpenSource(ctx, nil)
}

// OpenRedrive opens the queue itself for sending letters back to it. A letter is no
// duplicate of the message that it was.
func (s *Source) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	if err := s.usable(ctx, "open redrive"); err != nil {
		return nil, err
	}
	t := s.Target
	t.Release = nil
	sink, err := t.OpenSink(ctx, nil)
	if err != nil {
		return nil, err
	}
	sink.redrive = true
	return sink, nil
}
