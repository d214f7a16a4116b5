package embedded

import (
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/internal/queue"
)

func taskOf(t queue.Task) deadletter.Task {
	out := deadletter.Task{ID: t.Handle, Moved: t.Moved, Total: t.ToMove, Started: t.Started, Failure: t.Failure}
	switch t.Status {
	case queue.TaskCompleted:
		out.Status = deadletter.Completed
	case queue.TaskCanceled, queue.TaskCanceling:
		out.Status = deadletter.Canceled
	case queue.TaskFailed:
		out.Status = deadletter.Failed
	default:
		out.Status = deadletter.Running
	}
	return out
}
