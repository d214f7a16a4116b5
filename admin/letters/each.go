package letters

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
)

// Each looks through the dead letters of the queue behind source and calls visit with each
// that o selects, in no order. An error of visit ends it, and is returned. A nil o is the
// zero [Options].
//
// The embedded queues are read without a delivery. Elsewhere letters are received and given
// back at the end, which counts as a delivery of each letter (not as an attempt of the
// message that it was). visit must not keep the letter's message.
func Each(ctx context.Context, source drivers.Source, o *Options, visit func(Letter) error) (Result, error) {
	opts, err := o.complete()
	if err != nil {
		return Result{}, err
	}
	if inspector, ok := source.(drivers.Inspector); ok && source.Capabilities().FreeRelease {
		return peekEach(ctx, inspector, opts, visit)
	}
	return through(ctx, source, "read", opts, func(ctx context.Context, s *scan.Scan, ds []drivers.Delivery, r *Result) error {
		for _, d := range ds {
			if err := visit(Of(d.Message)); err != nil {
				return err
			}
			r.Done++
		}
		return s.Hold(ctx, ds)
	}, nil)
}

func peekEach(ctx context.Context, inspector drivers.Inspector, o Options, visit func(Letter) error) (Result, error) {
	var r Result
	ms, err := inspector.Peek(ctx, math.MaxInt32, true)
	if err != nil {
		return r, err
	}
	for _, m := range ms {
		l := Of(m)
		r.Seen++
		if !o.Filter.Matches(l) {
			continue
		}
		r.Matched++
		if err := visit(l); err != nil {
			return r, err
		}
		if r.Done++; o.enough(r) {
			break
		}
	}
	o.Progress(r)
	return r, nil
}

// through looks through letters under their leases and calls take with those that o
// selects, a batch at a time, and finish, unless it is nil, when all were seen. take must
// pass each letter to Hold or Delete, unless it returns an error.
func through(ctx context.Context, source drivers.Source, op string, o Options, take taker,
	finish func(context.Context, *scan.Scan, *Result) error,
) (r Result, err error) {
	opener, ok := source.(deadletter.Opener)
	if !ok {
		return r, Unsupported(source, op)
	}
	dead, err := scan.Open(ctx, opener, o.SpendAttempts)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, dead.Close()) }()
	s := scan.New(dead, o.Hold)
	defer func() { err = errors.Join(err, s.GiveBack(ctx)) }()
	for s.More() && !o.enough(r) {
		ds, err := s.Next(ctx, o.batch(r))
		if err != nil {
			return r, err
		}
		var wanted, others []drivers.Delivery
		for _, d := range ds {
			r.Seen++
			if o.Filter.Matches(Of(d.Message)) && !o.enough(r) {
				r.Matched++
				wanted = append(wanted, d)
			} else {
				others = append(others, d)
			}
		}
		if err := s.Hold(ctx, others); err != nil {
			return r, err
		}
		if len(wanted) > 0 {
			if err := take(ctx, s, wanted, &r); err != nil {
				return r, err
			}
		}
		r.Hidden = s.Hidden
		o.Progress(r)
	}
	if finish != nil {
		err = finish(ctx, s, &r)
		o.Progress(r)
	}
	return r, err
}

// A taker does something with letters of a scan, and counts those for which it was done.
type taker func(context.Context, *scan.Scan, []drivers.Delivery, *Result) error

// Unsupported is the error of a driver that cannot read a queue's dead letters.
func Unsupported(source drivers.Source, op string) error {
	c := source.Capabilities()
	return &drivers.Error{Code: drivers.Unsupported, Queue: c.Queue, Op: op + " dead letters",
		Err: fmt.Errorf("the driver for %s cannot read this queue's dead letters", strings.TrimPrefix(c.System, "sluice_"))}
}
