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
// they are longer together than a request may be. On a FIFO queue a message
// without dedupe ID gets one that is made up anew each time it is sent, unless
// the queue makes it of the body.
//
// A message that cannot be sent as it is fails before anything is sent, and the
// later ones of its group with it. Where SQS itself takes some messages of a
// request and not others, which on a FIFO queue is rare, the later ones of a
// group are reported as failed too, so that they are sent again in order; those
// that SQS had taken it then recognises by their dedupe ID.
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
	held := groups{}
	for i, m := range ms {
		if errs[i] = s.held(held, m.Group, i); errs[i] != nil {
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
			held.hold(m.Group, i)
			continue
		}
		es, at = append(es, e), append(at, i)
	}
	blocked := func(n int) error { return s.held(held, ms[at[n]].Group, at[n]) }
	s.send(ctx, op, es, blocked, func(n int, id *string, err error) {
		i := at[n]
		if err == nil {
			err = s.held(held, ms[i].Group, i)
		}
		if errs[i] = err; err != nil {
			held.hold(ms[i].Group, i)
			return
		}
		ms[i].ID = deref(id)
	})
	return some(errs)
}

// groups are groups of which a message has failed, with the index of the first
// that did.
type groups map[string]int

func (g groups) hold(group string, i int) {
	if first, ok := g[group]; !ok || i < first {
		g[group] = i
	}
}

// held returns an error where a message of the group before the i-th has failed,
// on a queue that keeps order.
func (s *Sink) held(g groups, group string, i int) error {
	if !s.fifo {
		return nil
	}
	if first, ok := g[group]; !ok || first >= i {
		return nil
	}
	return &drivers.Error{Code: drivers.Transient, Queue: s.name, Op: "send",
		Err: fmt.Errorf("an earlier message of the group %q could not be sent", group), Remedy: "send it again, after that one"}
}

// fits returns an error for a message that is too large.
func (q *queue) fits(e *entry) error {
	if e.size <= q.maxBytes {
		return nil
	}
	return q.invalid("send", fmt.Errorf("the message has %d bytes with its attributes, and the queue takes %d", e.size, q.maxBytes),
		"keep the body in a bucket (package handler/claimcheck), or raise the queue's MaximumMessageSize, up to 1 MiB")
}

// send sends entries in order, in as few requests as they fit in, and reports
// each to told, in order: its message ID, or why it was not sent. blocked, which
// may be nil, is asked before an entry is put into a request, and after those
// before it are known.
func (q *queue) send(ctx context.Context, op string, es []*entry, blocked func(n int) error, told func(n int, id *string, err error)) {
	part := make([]int, 0, min(len(es), maxBatch))
	size := 0
	flush := func() {
		if len(part) > 0 {
			q.sendRequest(ctx, op, es, part, told)
		}
		part, size = part[:0], 0
	}
	for n, e := range es {
		if len(part) == maxBatch || size+e.size > q.maxRequest() {
			flush()
		}
		if blocked != nil {
			if err := blocked(n); err != nil {
				told(n, nil, err)
				continue
			}
		}
		part, size = append(part, n), size+e.size
	}
	flush()
}

var errNoAnswer = errors.New("SQS's answer does not mention the message")

// sendRequest sends those of the entries that part names, ten at most.
func (q *queue) sendRequest(ctx context.Context, op string, es []*entry, part []int, told func(n int, id *string, err error)) {
	entries := make([]types.SendMessageBatchRequestEntry, len(part))
	for k, n := range part {
		entries[k] = es[n].SendMessageBatchRequestEntry
		entries[k].Id = entryID(k)
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
