package sqs

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// An inspector counts, shows and purges messages of a queue and of its dead-letter
// queue.
type inspector struct {
	*queue
	watch *watch
	ages  *ages
}

var depthNames = []types.QueueAttributeName{
	types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

// letterNames are those that are asked of a dead-letter queue.
var letterNames = append(slices.Clip(depthNames), types.QueueAttributeNameMessageRetentionPeriod)

// countLag is how long SQS's counts take to agree after the last change, by its
// documentation.
const countLag = time.Minute

func unknownDepth() drivers.Depth {
	return drivers.Depth{Lag: countLag, Visible: drivers.Unknown, InFlight: drivers.Unknown, Delayed: drivers.Unknown, DeadLetters: drivers.Unknown, OldestAge: -1}
}

// fill implements [Source.Ages].
func (i *inspector) fill(ctx context.Context, d *drivers.Depth) {
	if d.OldestAge < 0 { // an empty queue has none, and Depth knows it
		d.OldestAge = i.ages.oldest(ctx, i.name)
	}
	if dlq := i.watch.dlq(); dlq != nil && d.DeadLetters != 0 {
		d.LetterAge = max(i.ages.oldest(ctx, dlq.name), 0)
	}
}

// counts returns the depth without the ages, which SQS itself does not know.
func (i *inspector) counts(ctx context.Context, op string) (drivers.Depth, error) {
	d := unknownDepth()
	i.watch.reread(ctx, op) // of a source that only counts nobody else does
	counts, err := i.attributes(ctx, op, depthNames...)
	if err != nil {
		return d, err
	}
	d.Visible, d.InFlight, d.Delayed = count(counts, depthNames[0]), count(counts, depthNames[1]), count(counts, depthNames[2])
	dlq := i.watch.dlq()
	if dlq == nil {
		return d, nil
	}
	letters, err := dlq.attributes(ctx, op, letterNames...)
	if errors.Is(err, drivers.ErrDenied) {
		return d, nil // the count stays unknown
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
	d.LetterRetention = number(letters[attrRetention])
	return d, nil
}

func count(counts map[string]string, name types.QueueAttributeName) int64 {
	n, err := strconv.ParseInt(counts[string(name)], 10, 64)
	if err != nil {
		return drivers.Unknown
	}
	return n
}

// peek implements [Source.Peek].
func (i *inspector) peek(ctx context.Context, op string, most int, dead bool) ([]*handler.Message, error) {
	q, err := i.which(ctx, op, dead)
	if err != nil {
		return nil, err
	}
	return peek(ctx, op, q, most)
}

// purge implements [Source.Purge].
func (i *inspector) purge(ctx context.Context, op string, dead bool) error {
	q, err := i.which(ctx, op, dead)
	if err != nil {
		return err
	}
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	_, err = q.api.PurgeQueue(rctx, &awssqs.PurgeQueueInput{QueueUrl: &q.url})
	return q.fail(ctx, op, err)
}

// which returns the queue, or its dead-letter queue, as the redrive policy named it within
// rereadSoon.
func (i *inspector) which(ctx context.Context, op string, dead bool) (*queue, error) {
	if !dead {
		return i.queue, nil
	}
	i.watch.Doubt() // whoever asks may change letters
	i.watch.reread(ctx, op)
	dlq := i.watch.dlq()
	if dlq == nil {
		return nil, i.noDeadLetter(op)
	}
	return dlq, nil
}

// peekLease bounds the time for which a peek hides messages, if it ends before it
// has given them back.
const peekLease = 20 * time.Second

// peek receives up to most messages of q and gives them back.
func peek(ctx context.Context, op string, q *queue, most int) ([]*handler.Message, error) {
	var seen []types.Message
	defer func() { receipts{q}.giveBack(ctx, op, seen) }()
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
	d := decoder{q}
	d.learn(ctx, op, seen)
	ms := make([]*handler.Message, 0, len(seen))
	ids := make(map[string]bool, len(seen))
	for i := range seen {
		m := &handler.Message{}
		d.decode(&seen[i], m)
		if !ids[m.ID] { // a message whose lease ended meanwhile came twice
			ids[m.ID] = true
			ms = append(ms, m)
		}
	}
	return ms, nil
}
