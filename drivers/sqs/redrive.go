package sqs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// moveAPI is the part of the SDK's client that a native redrive calls besides [API].
// With a caller's own client that lacks it, there is no native redrive.
type moveAPI interface {
	StartMessageMoveTask(ctx context.Context, in *awssqs.StartMessageMoveTaskInput, o ...func(*awssqs.Options)) (*awssqs.StartMessageMoveTaskOutput, error)
	ListMessageMoveTasks(ctx context.Context, in *awssqs.ListMessageMoveTasksInput, o ...func(*awssqs.Options)) (*awssqs.ListMessageMoveTasksOutput, error)
	CancelMessageMoveTask(ctx context.Context, in *awssqs.CancelMessageMoveTaskInput, o ...func(*awssqs.Options)) (*awssqs.CancelMessageMoveTaskOutput, error)
	ListDeadLetterSourceQueues(ctx context.Context, in *awssqs.ListDeadLetterSourceQueuesInput, o ...func(*awssqs.Options)) (*awssqs.ListDeadLetterSourceQueuesOutput, error)
}

var _ moveAPI = (*awssqs.Client)(nil)

// maxRate is the largest rate of a move task, in messages a second.
const maxRate = 500

// A redriver starts, lists and cancels message move tasks from the dead-letter
// queue of a queue.
type redriver struct{ *inspector }

// start implements [Source.StartRedrive].
func (r redriver) start(ctx context.Context, op string, rate int) (deadletter.Task, error) {
	if _, err := r.which(ctx, op, true); err != nil { // which reads the redrive policy
		return deadletter.Task{}, err
	}
	api, dlq, err := r.mover(op)
	if err != nil {
		return deadletter.Task{}, err
	}
	if rate < 0 || rate > maxRate {
		return deadletter.Task{}, r.invalid(op, fmt.Errorf("rate of %d a second: SQS moves 1 to %d", rate, maxRate), "")
	}
	if err := r.soleSource(ctx, op, api, dlq); err != nil {
		return deadletter.Task{}, err
	}
	in := &awssqs.StartMessageMoveTaskInput{SourceArn: &dlq.arn, DestinationArn: &r.arn}
	if rate > 0 {
		in.MaxNumberOfMessagesPerSecond = aws.Int32(int32(rate)) //nolint:gosec // at most maxRate
	}
	total := drivers.Depth{DeadLetters: drivers.Unknown}
	if d, err := r.counts(ctx, "depth"); err == nil {
		total = d
	}
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	began := time.Now()
	out, err := api.StartMessageMoveTask(rctx, in)
	if err != nil {
		return deadletter.Task{}, r.moveFailure(ctx, op, dlq, err)
	}
	return deadletter.Task{
		ID: aws.ToString(out.TaskHandle), Status: deadletter.Running, Total: total.DeadLetters,
		// The clocks of SQS and this machine differ, and the task is identified by
		// its start.
		Started: began.Add(-clockSkew),
	}, nil
}

// clockSkew is how far this machine's clock may be ahead of SQS's.
const clockSkew = 5 * time.Second

// mover returns the client for a native redrive, and the dead-letter queue. It does not read
// the redrive policy: a task goes on if that changes.
func (r redriver) mover(op string) (moveAPI, *queue, error) {
	dlq := r.watch.dlq()
	if dlq == nil {
		return nil, nil, r.noDeadLetter(op)
	}
	api, ok := r.api.(moveAPI)
	if !ok {
		return nil, nil, &drivers.Error{Code: drivers.Unsupported, Queue: r.name, Op: op,
			Err: errors.New("the program's SQS client does not support message move tasks")}
	}
	return api, dlq, nil
}

// soleSource returns an error if the dead-letter queue serves another queue.
func (r redriver) soleSource(ctx context.Context, op string, api moveAPI, dlq *queue) error {
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := api.ListDeadLetterSourceQueues(rctx, &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq.url})
	if err != nil {
		switch err := r.fail(ctx, op, err); drivers.CodeOf(err) {
		case drivers.Denied, drivers.Unsupported:
			return nil // the redrive itself may be possible
		default:
			return err
		}
	}
	for _, u := range out.QueueUrls {
		if name := lastSegment(u); name != r.name {
			return r.invalid(op, fmt.Errorf("the dead-letter queue %q also serves the queue %q, whose letters a move task would move too", dlq.name, name),
				"redrive by origin: select the letters whose source is "+r.name)
		}
	}
	return nil
}

// moveFailure returns the error of a move task's call. SQS reports a second task on
// a queue as unsupported.
func (r redriver) moveFailure(ctx context.Context, op string, dlq *queue, err error) error {
	e := dlq.fail(ctx, op, err)
	if strings.Contains(err.Error(), "already a task running") {
		return r.invalid(op, err, "wait for its end, or start a redrive, which follows it")
	}
	return e
}

// list implements [Source.Redrives].
func (r redriver) list(ctx context.Context, op string) ([]deadletter.Task, error) {
	api, dlq, err := r.mover(op)
	if err != nil {
		return nil, err
	}
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := api.ListMessageMoveTasks(rctx, &awssqs.ListMessageMoveTasksInput{SourceArn: &dlq.arn, MaxResults: aws.Int32(maxBatch)})
	if err != nil {
		return nil, dlq.fail(ctx, op, err)
	}
	tasks := make([]deadletter.Task, 0, len(out.Results))
	for _, result := range out.Results {
		if to := aws.ToString(result.DestinationArn); to != "" && to != r.arn {
			continue
		}
		t := deadletter.Task{
			ID: aws.ToString(result.TaskHandle), Status: taskStatus(aws.ToString(result.Status)), Moved: result.ApproximateNumberOfMessagesMoved,
			Total: drivers.Unknown, Started: time.UnixMilli(result.StartedTimestamp), Failure: aws.ToString(result.FailureReason),
		}
		if result.ApproximateNumberOfMessagesToMove != nil {
			t.Total = *result.ApproximateNumberOfMessagesToMove
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func taskStatus(s string) deadletter.Status {
	switch s {
	case "COMPLETED":
		return deadletter.Completed
	case "CANCELLED":
		return deadletter.Canceled
	case "FAILED":
		return deadletter.Failed
	default: // RUNNING, CREATED, CANCELLING
		return deadletter.Running
	}
}

// cancel implements [Source.CancelRedrive].
func (r redriver) cancel(ctx context.Context, op, id string) error {
	api, dlq, err := r.mover(op)
	if err != nil {
		return err
	}
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err = api.CancelMessageMoveTask(rctx, &awssqs.CancelMessageMoveTaskInput{TaskHandle: &id})
	return dlq.fail(ctx, op, err)
}

// redriveDedupe returns the deduplication ID of a letter that is sent back. m has the
// letter's message ID.
func redriveDedupe(m *handler.Message) string {
	if m.ID == "" {
		return "" // not a letter
	}
	return token(ownDedupe + "redrive-" + m.ID)
}
