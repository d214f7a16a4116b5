package sqs

import (
	"context"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Sink sends to an SQS queue. Its methods may be called concurrently.
type Sink struct {
	*queue
	caps    drivers.Capabilities
	release func()
	// dedupe returns the deduplication ID of a message on a FIFO queue, or "" for
	// the message's own. It may be nil.
	dedupe func(m *handler.Message) string
}

var _ drivers.Sink = (*Sink)(nil)

// NewSink opens the queue with the given URL for sending, with the caller's own
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
// at most one message of a group: SQS may accept some messages of a request and
// refuse others, and a message that was accepted too early can't be withdrawn.
// Messages of one group are sent one after the other, those of different groups
// together. A message that fails holds back the later ones of its group.
//
// A message without a dedupe ID gets a new identity in each call of Send. A caller
// that sends a message again after an error should set a dedupe ID before the first
// try; otherwise the queue may get the message twice. Package producer does so.
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
	held := map[string]bool{} // groups with a message that can't be encoded
	to := sender{s.queue}
	for i, m := range ms {
		if s.fifo && held[m.Group] {
			errs[i] = to.heldBack(op, m.Group)
			continue
		}
		dedupe := ""
		if s.dedupe != nil {
			dedupe = s.dedupe(m)
		}
		e, err := encoder{s.queue}.encode(m, dedupe)
		if err == nil {
			err = to.fits(e)
		}
		if err != nil {
			errs[i] = err
			held[m.Group] = true
			continue
		}
		es, at = append(es, e), append(at, i)
	}
	to.send(ctx, op, es, func(n int, id *string, err error) {
		if errs[at[n]] = err; err == nil {
			ms[at[n]].ID = deref(id)
		}
	})
	for _, e := range es {
		e.release()
	}
	return some(errs)
}
