package embedded

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/queue"
)

// Sink sends to a queue. It implements [drivers.Sink].
type Sink struct {
	*opened
	redrive bool // it sends letters back
}

var _ drivers.Sink = (*Sink)(nil)

var errDelay = errors.New("the delay is negative")

// Send sends the valid messages, all or none, and returns an error for each
// that it did not send.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error {
	if len(ms) == 0 {
		return nil
	}
	if err := s.usable(ctx, "send"); err != nil {
		return slices.Repeat([]error{err}, len(ms))
	}
	var errs []error
	var blocked map[string]bool // groups with an invalid message
	out := make([]queue.Message, 0, len(ms))
	refuse := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(ms))
		}
		errs[i] = &drivers.Error{Code: drivers.Invalid, Queue: s.Queue, Op: "send", Err: err}
	}
	for i, m := range ms {
		switch {
		case m.Delay < 0:
			refuse(i, errDelay)
			if s.config.Ordered && m.Group != "" {
				if blocked == nil {
					blocked = map[string]bool{}
				}
				blocked[m.Group] = true
			}
			continue
		case blocked[m.Group]:
			refuse(i, errors.New("an earlier message of its group was refused"))
			continue
		}
		delay := m.Delay
		if delay == 0 {
			delay = -1 // the queue's
		}
		out = append(out, queue.Message{Body: m.Body, Attributes: m.Attributes, Group: m.Group, DedupeID: m.DedupeID, Again: s.redrive, Delay: delay})
	}
	if len(out) == 0 {
		return errs
	}
	sent, err := s.Engine.Send(ctx, s.Queue, out)
	if err != nil {
		err = s.fail(ctx, "send", err)
		if errs == nil {
			return slices.Repeat([]error{err}, len(ms))
		}
	}
	for i, next := 0, 0; i < len(ms); i++ {
		switch {
		case errs != nil && errs[i] != nil:
			continue
		case err != nil:
			errs[i] = err
		default:
			ms[i].ID = sent[next].ID
		}
		next++
	}
	return errs
}

// Capabilities returns the capabilities of the queue when it was opened.
func (s *Sink) Capabilities() drivers.Capabilities { return s.capabilities() }

// Close closes the sink.
func (s *Sink) Close() error { return s.close() }
