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
	"github.com/sluice-go/sluice/handler"
)

// moveAPI is what a native redrive calls besides. A caller's own client that
// lacks it has none.
type moveAPI interface {
	StartMessageMoveTask(ctx context.Context, in *awssqs.StartMessageMoveTaskInput, o ...func(*awssqs.Options)) (*awssqs.StartMessageMoveTaskOutput, error)
	ListMessageMoveTasks(ctx context.Context, in *awssqs.ListMessageMoveTasksInput, o ...func(*awssqs.Options)) (*awssqs.ListMessageMoveTasksOutput, error)
	CancelMessageMoveTask(ctx context.Context, in *awssqs.CancelMessageMoveTaskInput, o ...func(*awssqs.Options)) (*awssqs.CancelMessageMoveTaskOutput, error)
	ListDeadLetterSourceQueues(ctx context.Context, in *awssqs.ListDeadLetterSourceQueuesInput, o ...func(*awssqs.Options)) (*awssqs.ListDeadLetterSourceQueuesOutput, error)
}

var (
	_ moveAPI             = (*awssqs.Client)(nil)
	_ drivers.Redriver    = (*Source)(nil)
	_ drivers.DeadLetters = (*Source)(nil)
)

// maxRate is the most messages a second that a move task takes.
const maxRate = 500

// StartRedrive starts a message move task from the dead-letter queue back to
// this queue. The destination is always named: without it SQS fails on letters
// that were sent to the dead-letter queue rather than moved there by itself,
// since they have no source. It refuses where the dead-letter queue serves other
// queues too, since a move task has no filter.
//
// See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
func (s *Source) StartRedrive(ctx context.Context, rate int) (drivers.RedriveTask, error) {
	const op = "start redrive"
	api, dlq, err := s.mover(ctx, op)
	if err != nil {
		return drivers.RedriveTask{}, err
	}
	if rate < 0 || rate > maxRate {
		return drivers.RedriveTask{}, s.invalid(op, fmt.Errorf("rate of %d a second: SQS moves 1 to %d", rate, maxRate), "")
	}
	if err := s.soleSource(ctx, op, api, dlq); err != nil {
		return drivers.RedriveTask{}, err
	}
	in := &awssqs.StartMessageMoveTaskInput{SourceArn: &dlq.arn, DestinationArn: &s.arn}
	if rate > 0 {
		in.MaxNumberOfMessagesPerSecond = aws.Int32(int32(rate)) //nolint:gosec // at most maxRate
	}
	total := drivers.Depth{DeadLetters: drivers.Unknown}
	if d, err := s.Depth(ctx); err == nil {
		total = d
	}
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	began := time.Now()
	out, err := api.StartMessageMoveTask(rctx, in)
	if err != nil {
		return drivers.RedriveTask{}, s.moveFailure(ctx, op, dlq, err)
	}
	return drivers.RedriveTask{
		ID: aws.ToString(out.TaskHandle), Status: drivers.RedriveRunning, Total: total.DeadLetters,
		// The clocks of SQS and this machine differ; the task is found again by
		// when it was started.
		Started: began.Add(-clockSkew),
	}, nil
}

// clockSkew is how far this machine's clock may be ahead of SQS's.
const clockSkew = 5 * time.Second

// mover returns the client for a native redrive, and the dead-letter queue.
func (s *Source) mover(ctx context.Context, op string) (moveAPI, *queue, error) {
	dlq, err := s.which(ctx, op, true)
	if err != nil {
		return nil, nil, err
	}
	api, ok := s.api.(moveAPI)
	if !ok {
		return nil, nil, &drivers.Error{Code: drivers.Unsupported, Queue: s.name, Op: op,
			Err: errors.New("the client that the program gave has no message move tasks")}
	}
	return api, dlq, nil
}

// soleSource returns an error where the dead-letter queue serves another queue.
func (s *Source) soleSource(ctx context.Context, op string, api moveAPI, dlq *queue) error {
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := api.ListDeadLetterSourceQueues(rctx, &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq.url})
	if err != nil {
		switch err := s.fail(ctx, op, err); drivers.CodeOf(err) {
		case drivers.Denied, drivers.Unsupported:
			return nil // it cannot be looked at; the redrive itself may be possible
		default:
			return err
		}
	}
	for _, u := range out.QueueUrls {
		if name := lastSegment(u); name != s.name {
			return s.invalid(op, fmt.Errorf("the dead-letter queue %q also serves the queue %q, and a move task would bring its letters here", dlq.name, name),
				"redrive by origin: sluice redrive --source "+s.name)
		}
	}
	return nil
}

// moveFailure is the error of a move task's call. SQS says of a second task on a
// queue that it is not supported.
func (s *Source) moveFailure(ctx context.Context, op string, dlq *queue, err error) error {
	e := dlq.fail(ctx, op, err)
	if strings.Contains(err.Error(), "already a task running") {
		return s.invalid(op, err, "wait for it, or watch it: sluice redrive does")
	}
	return e
}

// Redrives lists the latest message move tasks from the dead-letter queue to
// this queue: SQS knows the ten latest.
func (s *Source) Redrives(ctx context.Context) ([]drivers.RedriveTask, error) {
	const op = "list redrives"
	api, dlq, err := s.mover(ctx, op)
	if err != nil {
		return nil, err
	}
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := api.ListMessageMoveTasks(rctx, &awssqs.ListMessageMoveTasksInput{SourceArn: &dlq.arn, MaxResults: aws.Int32(maxBatch)})
	if err != nil {
		return nil, dlq.fail(ctx, op, err)
	}
	tasks := make([]drivers.RedriveTask, 0, len(out.Results))
	for _, r := range out.Results {
		if to := aws.ToString(r.DestinationArn); to != "" && to != s.arn {
			continue
		}
		t := drivers.RedriveTask{
			ID: aws.ToString(r.TaskHandle), Status: taskStatus(aws.ToString(r.Status)), Moved: r.ApproximateNumberOfMessagesMoved,
			Total: drivers.Unknown, Started: time.UnixMilli(r.StartedTimestamp), Failure: aws.ToString(r.FailureReason),
		}
		if r.ApproximateNumberOfMessagesToMove != nil {
			t.Total = *r.ApproximateNumberOfMessagesToMove
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func taskStatus(s string) drivers.RedriveStatus {
	switch s {
	case "COMPLETED":
		return drivers.RedriveCompleted
	case "CANCELLED":
		return drivers.RedriveCancelled
	case "FAILED":
		return drivers.RedriveFailed
	default: // RUNNING, CREATED, CANCELLING
		return drivers.RedriveRunning
	}
}

// CancelRedrive cancels a message move task.
func (s *Source) CancelRedrive(ctx context.Context, id string) error {
	const op = "cancel redrive"
	api, dlq, err := s.mover(ctx, op)
	if err != nil {
		return err
	}
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err = api.CancelMessageMoveTask(rctx, &awssqs.CancelMessageMoveTaskInput{TaskHandle: &id})
	return dlq.fail(ctx, op, err)
}

// OpenDeadLetters opens the dead-letter queue for receiving.
func (s *Source) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	q, err := s.which(ctx, "open dead letters", true)
	if err != nil {
		return nil, err
	}
	dead, err := NewSource(ctx, s.api, q.url, &Config{Logger: s.config.Logger})
	if err != nil {
		return nil, err
	}
	return dead, nil
}

// OpenRedrive opens the queue for sending letters back. On a FIFO queue each
// goes with a deduplication ID of its letter, which is the same if a redrive is
// tried again and differs from that of any other letter: within five minutes of
// its first sending SQS would drop a letter with its old one. The letter's own
// dedupe ID goes with it as an attribute.
func (s *Source) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	if err := s.ready(ctx, "open redrive"); err != nil {
		return nil, err
	}
	sink, err := NewSink(ctx, s.api, s.url)
	if err != nil {
		return nil, err
	}
	sink.dedupe = redriveDedupe
	return sink, nil
}

// redriveDedupe is the deduplication ID of a letter that is sent back. m has the
// letter's message ID.
func redriveDedupe(m *handler.Message) string {
	if m.ID == "" {
		return "" // it is no letter
	}
	return token(ownDedupe + "redrive-" + m.ID)
}
