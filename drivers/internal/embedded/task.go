package embedded

import (
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/queue"
)

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
