package sqstest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/sluice-go/sluice/internal/queue"
)

// The limits of move tasks.
const (
	maxMoveRate    = 500 // messages a second
	maxListedTasks = 10
)

// A taskHandle is what is inside of a TaskHandle.
type taskHandle struct {
	Task   string `json:"taskId"`
	Source string `json:"sourceArn"`
}

func (h taskHandle) encode() string {
	b, err := json.Marshal(h)
	if err != nil { // two strings
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decodeTaskHandle(handle string) (task, source string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(handle)
	if err != nil {
		return "", "", false
	}
	var h taskHandle
	if json.Unmarshal(b, &h) != nil || h.Task == "" || h.Source == "" {
		return "", "", false
	}
	return h.Task, h.Source, true
}

func isARN(s string) bool { return strings.HasPrefix(s, "arn:") && strings.Count(s, ":") == 5 }

// moveActions start, cancel and list move tasks.
type moveActions struct{ *registry }

// moveQueue finds the queue of an ARN that is a parameter of a move task.
func (s *moveActions) moveQueue(c *call, arn, parameter string) (*settings, *apiError) {
	if !isARN(arn) {
		return nil, invalidParameter("You must use this format to specify the %s: arn:<partition>:<service>:<region>:<account-id>:<resource-id>", parameter)
	}
	notThere := fault(codeResourceNotFound, "The resource that you specified for the %s parameter doesn't exist.", parameter)
	name := queueName(arn)
	if arn != s.queueARN(name) {
		return nil, notThere
	}
	q, err := s.settings(c.ctx, name)
	if err != nil && err.code == codeQueueDoesNotExist {
		return nil, notThere
	}
	return q, err
}

func (s *moveActions) startMessageMoveTask(c *call, q *startMoveRequest) *apiError {
	if q.SourceARN == "" {
		return missing("SourceArn")
	}
	source, err := s.moveQueue(c, q.SourceARN, "SourceArn")
	if err != nil {
		return err
	}
	rate := 0
	if q.MaxNumberOfMessagesPerSecond != nil {
		if rate = int(*q.MaxNumberOfMessagesPerSecond); rate < 1 || rate > maxMoveRate {
			return invalidParameter("Value %d for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You must enter an integer value between 1 and %d.", rate, maxMoveRate)
		}
	}
	switch sources, err := s.sourcesOf(c.ctx, source.name); {
	case err != nil:
		return err
	case len(sources) == 0:
		return invalidParameter("Source queue must be configured as a Dead Letter Queue.")
	}
	destination := ""
	if q.DestinationARN != "" {
		to, err := s.moveQueue(c, q.DestinationARN, "DestinationArn")
		if err != nil {
			return err
		}
		if to.name == source.name {
			return invalidParameter("Source queue arn and destination queue arn cannot be the same.")
		}
		if to.fifo != source.fifo {
			return invalidParameter("Source queue and destination queue must be of the same type.")
		}
		destination = to.name
	}
	task, bad := s.engine.StartMove(c.ctx, source.name, destination, rate)
	switch {
	case errors.Is(bad, queue.ErrTaskRunning):
		return invalidParameter("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	case errors.Is(bad, queue.ErrNotFound):
		return fault(codeResourceNotFound, "The resource that you specified for the SourceArn parameter doesn't exist.")
	case bad != nil:
		return engineError(bad)
	}
	c.out.open('{')
	c.out.member("TaskHandle", taskHandle{Task: task.Handle, Source: q.SourceARN}.encode())
	c.out.close('}')
	return nil
}

func (s *moveActions) cancelMessageMoveTask(c *call, q *cancelMoveRequest) *apiError {
	if q.TaskHandle == "" {
		return missing("TaskHandle")
	}
	handle, source, ok := decodeTaskHandle(q.TaskHandle)
	if !ok {
		return invalidParameter("Value for parameter TaskHandle is invalid.")
	}
	if _, err := s.moveQueue(c, source, "SourceArn"); err != nil {
		return err
	}
	task, err := s.engine.CancelMove(c.ctx, handle)
	switch {
	case errors.Is(err, queue.ErrTaskNotFound):
		return fault(codeResourceNotFound, "Task does not exist.")
	case err != nil:
		return engineError(err)
	}
	c.out.open('{')
	c.out.memberInt("ApproximateNumberOfMessagesMoved", task.Moved)
	c.out.close('}')
	return nil
}

func (s *moveActions) listMessageMoveTasks(c *call, q *listRequest) *apiError {
	if q.SourceARN == "" {
		return missing("SourceArn")
	}
	source, err := s.moveQueue(c, q.SourceARN, "SourceArn")
	if err != nil {
		return err
	}
	limit := 1
	if q.MaxResults != nil {
		if limit = int(*q.MaxResults); limit < 1 || limit > maxListedTasks {
			return invalidParameter("Value %d for parameter MaxResults is invalid. Reason: You must enter an integer value between 1 and %d.", limit, maxListedTasks)
		}
	}
	tasks, bad := s.engine.Moves(c.ctx, source.name)
	if bad != nil {
		return engineError(bad)
	}
	c.out.open('{')
	c.out.key("Results")
	c.out.open('[')
	for i := range tasks[:min(limit, len(tasks))] {
		s.writeTask(&c.out, &tasks[i])
	}
	c.out.close(']')
	c.out.close('}')
	return nil
}

// failureReason is SQS's word for why the engine ended a task.
func failureReason(failure string) string {
	switch {
	case strings.HasSuffix(failure, "does not exist"), strings.HasSuffix(failure, "was removed"):
		return shapeOf(codeQueueDoesNotExist).queryCode
	case strings.HasSuffix(failure, "directly"):
		return "CouldNotDetermineMessageSource"
	}
	return failure
}

func (s *moveActions) writeTask(w *writer, t *queue.Task) {
	source := s.queueARN(t.Source)
	w.open('{')
	if t.Status == queue.TaskRunning {
		w.member("TaskHandle", taskHandle{Task: t.Handle, Source: source}.encode())
	}
	w.member("Status", string(t.Status))
	w.member("SourceArn", source)
	if t.Destination != "" {
		w.member("DestinationArn", s.queueARN(t.Destination))
	}
	if t.Rate > 0 {
		w.memberInt("MaxNumberOfMessagesPerSecond", int64(t.Rate))
	}
	w.memberInt("ApproximateNumberOfMessagesMoved", t.Moved)
	w.memberInt("ApproximateNumberOfMessagesToMove", t.ToMove)
	if t.Failure != "" {
		w.member("FailureReason", failureReason(t.Failure))
	}
	w.memberInt("StartedTimestamp", t.Started.UnixMilli())
	w.close('}')
}
