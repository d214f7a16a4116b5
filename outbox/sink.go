package outbox

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A sink writes messages for one queue into a [Table].
type sink struct {
	t      *Table
	queue  string
	closed atomic.Bool
}

var _ drivers.Sink = (*sink)(nil)

// Send writes all messages that are valid, or none.
func (s *sink) Send(ctx context.Context, ms []*handler.Message) []error {
	errs := make([]error, len(ms))
	if s.closed.Load() {
		for i := range errs {
			errs[i] = &drivers.Error{Code: drivers.Closed, Queue: s.queue, Op: "send", Err: errors.New("the sink is closed")}
		}
		return errs
	}
	rows := make([]*row, len(ms))
	var args []any
	failed := map[string]bool{} // groups of which a message is not sent
	n := 0
	for i, m := range ms {
		if m != nil && m.Group != "" && failed[m.Group] {
			errs[i] = &drivers.Error{Code: drivers.Transient, Queue: s.queue, Op: "send", Err: errors.New("an earlier message of the group was not sent")}
			continue
		}
		r, err := s.t.row(ctx, s.queue, m)
		var a []any
		if err == nil {
			a, err = r.args()
		}
		if err != nil {
			if errs[i] = err; m != nil {
				failed[m.Group] = true
			}
			continue
		}
		rows[i], args = r, append(args, a...)
		n++
	}
	if n > 0 {
		tx := s.t.orOwn(nil)
		_, err := tx.ExecContext(ctx, s.t.q.insert(n, ""), s.t.args(tx, args)...)
		err = s.t.wrap(ctx, "send", err)
		for i, r := range rows {
			switch {
			case r == nil:
			case err != nil:
				errs[i] = err
			default:
				ms[i].ID = r.id
			}
		}
	}
	return result(errs)
}

// Capabilities returns what the table can do.
func (s *sink) Capabilities() drivers.Capabilities {
	c := s.t.capabilities()
	c.Queue = s.queue
	return c
}

// Close ends the sink. A second call returns nil.
func (s *sink) Close() error {
	s.closed.Store(true)
	return nil
}
