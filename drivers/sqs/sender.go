package sqs

import (
	"context"
	"errors"
	"fmt"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
)

// A sender makes the requests that send entries to a queue.
type sender struct{ *queue }

// heldBack returns the error of a message that is not sent because an earlier one
// of its group failed.
func (s sender) heldBack(op, group string) error {
	return &drivers.Error{Code: drivers.Transient, Queue: s.name, Op: op,
		Err: fmt.Errorf("an earlier message of the group %q could not be sent", group), Remedy: "send it again, after that one"}
}

// fits returns an error if a message is too large.
func (s sender) fits(e *entry) error {
	if e.size <= s.maxBytes {
		return nil
	}
	return s.invalid("send", fmt.Errorf("the message and its attributes have %d bytes; the limit of the queue is %d", e.size, s.maxBytes),
		"keep the body in a bucket (package codec/claimcheck), or raise the queue's MaximumMessageSize, up to 1 MiB")
}

// send sends entries in as few requests as possible, and calls done for each with
// its message ID, or with the error if it was not sent. Entries of one group of a
// FIFO queue are in different requests, each made after the answer to the one
// before. If one of them fails, the later ones of its group are not sent.
func (s sender) send(ctx context.Context, op string, es []*entry, done func(n int, id *string, err error)) {
	todo := indices(len(es))
	var (
		failed map[string]bool // groups
		inPart map[string]bool // groups of the request that is being assembled
		part   = make([]int, 0, min(len(es), maxBatch))
	)
	if s.fifo {
		failed, inPart = make(map[string]bool), make(map[string]bool)
	}
	for len(todo) > 0 {
		size, full := 0, false
		part = part[:0]
		clear(inPart)
		later := todo[:0] // written behind the position that is read
		for _, n := range todo {
			e := es[n]
			group := deref(e.MessageGroupId)
			if failed[group] {
				done(n, nil, s.heldBack(op, group))
				continue
			}
			// An entry that waits for the next request holds back those behind it.
			full = full || len(part) == maxBatch || len(part) > 0 && size+e.size > s.maxRequest()
			if full || inPart[group] {
				later = append(later, n)
			} else {
				part, size = append(part, n), size+e.size
			}
			if s.fifo {
				inPart[group] = true
			}
		}
		todo = later
		if len(part) == 0 {
			break // all of them were held back
		}
		s.request(ctx, op, es, part, func(n int, id *string, err error) {
			if err != nil && s.fifo {
				failed[deref(es[n].MessageGroupId)] = true
			}
			done(n, id, err)
		})
	}
}

var (
	errNoAnswer = errors.New("the response of SQS does not mention the message")
	errStored   = errors.New("the MD5 of the body that SQS stored is not the message's")
)

// request sends the entries at the indices in part, ten at most.
func (s sender) request(ctx context.Context, op string, es []*entry, part []int, done func(n int, id *string, err error)) {
	entries := make([]types.SendMessageBatchRequestEntry, len(part))
	for k, n := range part {
		entries[k] = es[n].SendMessageBatchRequestEntry
		entries[k].Id = entryID(k)
	}
	if err := ctx.Err(); err != nil {
		for _, n := range part {
			done(n, nil, err)
		}
		return
	}
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	out, err := s.api.SendMessageBatch(rctx, &awssqs.SendMessageBatchInput{QueueUrl: &s.url, Entries: entries}, sendOptions...)
	if err != nil {
		err = s.fail(ctx, op, err)
		for _, n := range part {
			done(n, nil, err)
		}
		return
	}
	var ids [maxBatch]*string
	var errs [maxBatch]error
	for i := range out.Successful {
		if k, ok := entryIndex(out.Successful[i].Id, len(part)); ok {
			ids[k] = out.Successful[i].MessageId
			if md5 := out.Successful[i].MD5OfMessageBody; md5 != nil && !hasMD5(*entries[k].MessageBody, *md5) {
				errs[k] = &drivers.Error{Code: drivers.Transient, Queue: s.name, Op: op, Err: fmt.Errorf("%w: message %s", errStored, deref(ids[k]))}
			}
		}
	}
	for i := range out.Failed {
		if k, ok := entryIndex(out.Failed[i].Id, len(part)); ok {
			errs[k] = s.refused(op, deref(out.Failed[i].Code), deref(out.Failed[i].Message), out.Failed[i].SenderFault)
		}
	}
	for k, n := range part {
		if ids[k] == nil && errs[k] == nil {
			errs[k] = &drivers.Error{Code: drivers.Transient, Queue: s.name, Op: op, Err: errNoAnswer}
		}
		done(n, ids[k], errs[k])
	}
}
