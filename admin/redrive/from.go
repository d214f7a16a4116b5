package redrive

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/time/rate"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// From sends letters that were exported or archived to the queue behind source, as [Run]
// does with letters of the dead-letter queue, which it does not touch. Package letters'
// ReadRecords reads them. The archive stays: another From sends them again, with the same
// identities. Of o, Detach is refused and Hold has no effect. When ctx ends, or a letter
// can't be read or sent, it returns the result so far and the error; a letter that the queue
// refuses for good counts as Failed, and From continues with the others.
func From(ctx context.Context, source drivers.Source, from iter.Seq2[*handler.Message, error], o *Options) (_ Result, err error) {
	opts, err := o.complete()
	if err != nil {
		return Result{}, err
	}
	queue := source.Capabilities().Queue
	if opts.Detach {
		return Result{}, &drivers.Error{Code: drivers.Unsupported, Queue: queue, Op: "redrive",
			Err: errors.New("there is nothing that would carry it on: letters of an archive are not the provider's")}
	}
	opener, ok := source.(deadletter.Opener)
	if !ok {
		return Result{}, letters.Unsupported(source, "redrive")
	}
	back, err := opener.OpenRedrive(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	r := &resender{Options: opts, back: back, result: Result{Mode: Archived, Total: drivers.Unknown}}
	caps := back.Capabilities()
	if opts.Rate > 0 {
		caps.MaxSend = min(max(caps.MaxSend, 1), opts.Rate)
		r.limiter = rate.NewLimiter(rate.Limit(opts.Rate), caps.MaxSend)
	}
	r.batch = scan.NewBatch(caps)
	err = r.run(ctx, from)
	if len(r.faults) > 0 {
		err = errors.Join(err, fmt.Errorf("%d letters cannot be sent unchanged: %w", r.result.Failed, errors.Join(r.faults...)))
	}
	return r.result, err
}

// A resender sends letters of an archive.
type resender struct {
	Options
	back    drivers.Sink
	limiter *rate.Limiter
	batch   *scan.Batch
	result  Result
	faults  []error // of letters that cannot be sent
}

func (r *resender) run(ctx context.Context, from iter.Seq2[*handler.Message, error]) error {
	var fault error
	pending := int64(0) // in the batch
	for m, err := range from {
		if err != nil {
			fault = err
			break
		}
		r.result.Seen++
		if !r.Filter.Matches(letters.Of(m)) {
			continue
		}
		r.result.Matched++
		if r.MaxRedrives >= 0 && letters.Redrives(m) >= r.MaxRedrives {
			r.result.Refused++
			continue
		}
		if r.Max > 0 && r.result.Moved+pending >= int64(r.Max) {
			if r.DryRun {
				continue // all that match are counted
			}
			r.result.Matched--
			break
		}
		if r.DryRun {
			r.Found(m)
			r.result.Moved++
			continue
		}
		back, err := restore(m)
		if err != nil {
			return err
		}
		if r.batch.Full(back) {
			if err := r.send(ctx); err != nil {
				return err
			}
			pending = 0
		}
		r.batch.Add(back)
		pending++
	}
	return errors.Join(r.send(ctx), fault) // what was read before a fault is whole
}

// send sends the batch.
func (r *resender) send(ctx context.Context) error {
	ms := r.batch.Take()
	if len(ms) == 0 {
		return nil
	}
	if r.limiter != nil {
		if err := r.limiter.WaitN(ctx, len(ms)); err != nil {
			return scan.Ended(ctx, err)
		}
	}
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.ID
	}
	var failure error
	for i, err := range scan.Send(ctx, r.back, ms) {
		switch {
		case err == nil:
			r.result.Moved++
			r.Found(ms[i])
		case drivers.CodeOf(err) == drivers.Invalid:
			r.result.Failed++
			if len(r.faults) < maxFaults {
				r.faults = append(r.faults, fmt.Errorf("letter %s: %w", ids[i], err))
			}
		case failure == nil:
			failure = scan.Ended(ctx, fmt.Errorf("letter %s: %w", ids[i], err))
		}
	}
	r.Progress(r.result)
	return failure
}
