package sqs

import (
	"context"
	"errors"
	"strconv"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

var depthNames = []types.QueueAttributeName{
	types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

// Depth counts messages, approximately: SQS's counts are eventually consistent.
// The age of the oldest message is unknown: SQS tells it to CloudWatch only.
func (s *Source) Depth(ctx context.Context) (drivers.Depth, error) {
	const op = "depth"
	d := drivers.Depth{Visible: drivers.Unknown, InFlight: drivers.Unknown, Delayed: drivers.Unknown, DeadLetters: drivers.Unknown, OldestAge: -1}
	if err := s.ready(ctx, op); err != nil {
		return d, err
	}
	counts, err := s.attributes(ctx, op, depthNames...)
	if err != nil {
		return d, err
	}
	d.Visible, d.InFlight, d.Delayed = count(counts, depthNames[0]), count(counts, depthNames[1]), count(counts, depthNames[2])
	dlq := s.dlq()
	if dlq == nil {
		return d, nil
	}
	letters, err := dlq.attributes(ctx, op, depthNames...)
	if errors.Is(err, drivers.ErrDenied) {
		return d, nil // they stay unknown
	}
	if err != nil {
		return d, err
	}
	d.DeadLetters = 0
	for _, name := range depthNames {
		n := count(letters, name)
		if n == drivers.Unknown {
			d.DeadLetters = drivers.Unknown
			break
		}
		d.DeadLetters += n
	}
	return d, nil
}

func count(counts map[string]string, name types.QueueAttributeName) int64 {
	n, err := strconv.ParseInt(counts[string(name)], 10, 64)
	if err != nil {
		return drivers.Unknown
	}
	return n
}

// peekLease is how long a peek hides messages at most, should it end before it
// has given them back.
const peekLease = 20 * time.Second

// Peek receives up to most messages and gives them back at once: SQS shows no
// message otherwise. It counts as a delivery attempt, hides the messages for a
// moment, and on a FIFO queue shows no group that is blocked.
func (s *Source) Peek(ctx context.Context, most int, dead bool) ([]*handler.Message, error) {
	const op = "peek"
	q, err := s.which(ctx, op, dead)
	if err != nil {
		return nil, err
	}
	var seen []types.Message
	defer func() { q.giveBack(ctx, op, seen) }()
	for len(seen) < most {
		rctx, cancel := within(ctx, time.Second+answerTime)
		in := &awssqs.ReceiveMessageInput{
			QueueUrl:              &q.url,
			MaxNumberOfMessages:   int32(min(most-len(seen), maxBatch)), // at most 10
			VisibilityTimeout:     seconds(peekLease),
			WaitTimeSeconds:       1, // a long poll asks all of SQS's servers
			MessageAttributeNames: allAttributes,
		}
		systemAttributes(q.fifo).ask(in)
		out, err := q.api.ReceiveMessage(rctx, in, receiveOptions...)
		cancel()
		if err != nil {
			return nil, q.fail(ctx, op, err)
		}
		if len(out.Messages) == 0 {
			break
		}
		seen = append(seen, out.Messages...)
	}
	q.learn(ctx, op, seen)
	ms := make([]*handler.Message, 0, len(seen))
	ids := make(map[string]bool, len(seen))
	for i := range seen {
		m := &handler.Message{}
		q.decode(&seen[i], m)
		if !ids[m.ID] { // one whose lease ended meanwhile came twice
			ids[m.ID] = true
			ms = append(ms, m)
		}
	}
	return ms, nil
}

// giveBack makes messages visible again, also where ctx has ended by now. One
// that cannot be given back comes back by itself soon.
func (q *queue) giveBack(ctx context.Context, op string, ms []types.Message) {
	which := make([]int, len(ms))
	for i := range which {
		which[i] = i
	}
	q.change(context.WithoutCancel(ctx), op, which, func(i int) *string { return ms[i].ReceiptHandle }, func(int) int32 { return 0 }, make([]error, len(ms)), q.unrepeated()...)
}

// Purge removes all messages, those in flight too. It takes SQS up to a minute;
// messages sent meanwhile may go as well.
func (s *Source) Purge(ctx context.Context, dead bool) error {
	const op = "purge"
	q, err := s.which(ctx, op, dead)
	if err != nil {
		return err
	}
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	_, err = q.api.PurgeQueue(rctx, &awssqs.PurgeQueueInput{QueueUrl: &q.url})
	return q.fail(ctx, op, err)
}

// which returns the queue, or its dead-letter queue.
func (s *Source) which(ctx context.Context, op string, dead bool) (*queue, error) {
	if err := s.ready(ctx, op); err != nil {
		return nil, err
	}
	if !dead {
		return s.queue, nil
	}
	dlq := s.dlq()
	if dlq == nil {
		return nil, &drivers.Error{Code: drivers.Unsupported, Queue: s.name, Op: op, Err: errors.New("the queue has no dead-letter queue"),
			Remedy: "give it a redrive policy (sluice apply), or name one with dead_letter"}
	}
	return dlq, nil
}
