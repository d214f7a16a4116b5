package sqs

import (
	"context"
	"errors"
	"fmt"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Sink sends to an SQS queue.
type Sink struct {
	*queue
	caps    drivers.Capabilities
	release func()
	// dedupe gives a message's deduplication ID on a FIFO queue where it is not
	// the message's own. Nil and "" leave it.
	dedupe func(m *handler.Message) string
}

var _ drivers.Sink = (*Sink)(nil)

// NewSink opens the queue that has the URL for sending with the caller's own
// client; see [NewSource].
func NewSink(ctx context.Context, api API, queueURL string) (*Sink, error) {
	q, err := describe(ctx, api, queueURL)
	if err != nil {
		return nil, err
	}
	return &Sink{queue: q, caps: q.capabilities(), release: func() {}}, nil
}

// Capabilities returns what the queue can do.
func (s *Sink) Capabilities() drivers.Capabilities { return s.caps }

// Close frees the sink's connections.
func (s *Sink) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		s.release()
	}
	return nil
}

// Send sends messages. See [drivers.Sink]. Ten messages are one request, unless
// they are longer together than a request may be. A request to a FIFO queue has
// at most one message of a group: SQS may take some messages of a request and not
// others, and a message that was taken too early can't be taken back. Messages of
// one group are sent one after the other, those of different groups together, and
// a message that fails holds back the later ones of its group.
//
// A message without a dedupe ID gets an identity, in each call of Send another
// one. Who sends a message again after an error gives it a dedupe ID before the
// first try, or the message may be there twice; package producer does so.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error {
	const op = "send"
	if len(ms) == 0 {
		return nil
	}
	if err := s.ready(ctx, op); err != nil {
		return all(len(ms), err)
	}
	errs := make([]error, len(ms))
	es := make([]*entry, 0, len(ms))
	at := make([]int, 0, len(ms))
	held := map[string]bool{} // groups with a message that can't be sent as it is
	for i, m := range ms {
		if s.fifo && held[m.Group] {
			errs[i] = s.heldBack(op, m.Group)
			continue
		}
		dedupe := ""
		if s.dedupe != nil {
			dedupe = s.dedupe(m)
		}
		e, err := s.encode(m, dedupe)
		if err == nil {
			err = s.fits(e)
		}
		if err != nil {
			errs[i] = err
			held[m.Group] = true
			continue
		}
		es, at = append(es, e), append(at, i)
	}
	s.send(ctx, op, es, func(n int, id *string, err error) {
		if errs[at[n]] = err; err == nil {
			ms[at[n]].ID = deref(id)
		}
	})
	return some(errs)
}

// heldBack is the error of a message of which an earlier one of its group failed.
func (q *queue) heldBack(op, group string) error {
	return &drivers.Error{Code: drivers.Transient, Queue: q.name, Op: op,
		Err: fmt.Errorf("an earlier message of the group %q could not be sent", group), Remedy: "send it again, after that one"}
}

// fits returns an error for a message that is too large.
func (q *queue) fits(e *entry) error {
	if e.size <= q.maxBytes {
		return nil
	}
	return q.invalid("send", fmt.Errorf("the message has %d bytes with its attributes, and the queue takes %d", e.size, q.maxBytes),
		"keep the body in a bucket (package codec/claimcheck), or raise the queue's MaximumMessageSize, up to 1 MiB")
}

// send sends entries in as few requests as they fit in, and reports each to told:
// its message ID, or why it was not sent. Entries of one group of a FIFO queue are
// in different requests, each made after the answer to the one before; if one of
// them fails, the later ones are not sent.
func (q *queue) send(ctx context.Context, op string, es []*entry, told func(n int, id *string, err error)) {
	todo := make([]int, len(es))
	for n := range es {
		todo[n] = n
	}
	var (
		failed map[string]bool // groups
		inPart map[string]bool // groups of the request that is being made
		part   = make([]int, 0, min(len(es), maxBatch))
	)
	if q.fifo {
		failed, inPart = make(map[string]bool), make(map[string]bool)
	}
	for len(todo) > 0 {
		size, full := 0, false
		part = part[:0]
		clear(inPart)
		later := todo[:0] // written behind what is read
		for _, n := range todo {
			e := es[n]
			group := deref(e.MessageGroupId)
			if failed[group] {
				told(n, nil, q.heldBack(op, group))
				continue
			}
			// One that waits for the next request holds back those behind it.
			full = full || len(part) == maxBatch || len(part) > 0 && size+e.size > q.maxRequest()
			if full || inPart[group] {
				later = append(later, n)
			} else {
				part, size = append(part, n), size+e.size
			}
			if q.fifo {
				inPart[group] = true
			}
		}
		todo = later
		if len(part) == 0 {
			break // all of them were held back
		}
		q.sendRequest(ctx, op, es, part, func(n int, id *string, err error) {
			if err != nil && q.fifo {
				failed[deref(es[n].MessageGroupId)] = true
			}
			told(n, id, err)
		})
	}
}

var errNoAnswer = errors.New("SQS's answer does not mention the message")

// sendRequest sends those of the entries that part names, ten at most.
func (q *queue) sendRequest(ctx context.Context, op string, es []*entry, part []int, told func(n int, id *string, err error)) {
	entries := make([]types.SendMessageBatchRequestEntry, len(part))
	for k, n := range part {
		entries[k] = es[n].SendMessageBatchRequestEntry
		entries[k].Id = entryID(k)
	}
	if err := ctx.Err(); err != nil {
		for _, n := range part {
			told(n, nil, err)
		}
		return
	}
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	out, err := q.api.SendMessageBatch(rctx, &awssqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries})
	if err != nil {
		err = q.fail(ctx, op, err)
		for _, n := range part {
			told(n, nil, err)
		}
		return
	}
	var ids [maxBatch]*string
	var errs [maxBatch]error
	for i := range out.Successful {
		if k, ok := entryIndex(out.Successful[i].Id, len(part)); ok {
			ids[k] = out.Successful[i].MessageId
		}
	}
	for i := range out.Failed {
		if k, ok := entryIndex(out.Failed[i].Id, len(part)); ok {
			errs[k] = q.refused(op, deref(out.Failed[i].Code), deref(out.Failed[i].Message), out.Failed[i].SenderFault)
		}
	}
	for k, n := range part {
		if ids[k] == nil && errs[k] == nil {
			errs[k] = &drivers.Error{Code: drivers.Transient, Queue: q.name, Op: op, Err: errNoAnswer}
		}
		told(n, ids[k], errs[k])
	}
}
