package redrive

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/sleep"
)

// defaultCanaryWait is the default of CanaryOptions.Wait.
const defaultCanaryWait = 10 * time.Minute

// The pause between two looks at the queue that has canaries.
const (
	canaryPause = time.Second
	mostPause   = 5 * time.Second
)

// CanaryOptions say how a canary redrive tries the handler.
type CanaryOptions struct {
	// Letters is how many are sent back first. It must be above zero.
	Letters int
	// Wait is how long they may take to be acked. Zero means ten minutes.
	Wait time.Duration
	// Quiet is how long the queue must count as empty before they count as acked, on a
	// provider that can't be asked for one message. Zero means the driver's
	// drivers.Depth.Lag, which is how far its counts can be behind.
	Quiet time.Duration
	// Tried is called when the first letters were sent back, before the wait. Nil is not
	// called.
	Tried func(Result)
}

// Canaries is the result of the first letters of a canary redrive.
type Canaries struct {
	// Sent is what was sent back first.
	Sent Result
	// Returned are those that became letters again.
	Returned []letters.Letter
	// Acked is true if none returned and all were acked.
	Acked bool
}

// ErrReturned is the error of a canary redrive whose first letters became letters again.
var ErrReturned = errors.New("letters that were sent back became dead letters again")

// ErrUndecided is the error of a canary redrive whose first letters were neither acked nor
// dead-lettered in time.
var ErrUndecided = errors.New("letters that were sent back were neither acked nor dead-lettered again in time")

// Canary brings a few letters back, waits until a consumer has acked them, and only then
// brings the others back, as [Run] does. A consumer must run on the queue. If one of the
// first returns as a letter, Canary ends with [ErrReturned]; if they are neither acked nor
// back when the wait is over, with [ErrUndecided]. In both cases the other letters stay.
//
// The embedded queues are asked for each message. Elsewhere the messages of a queue cannot
// be looked at without receiving them, so the first letters count as acked when the queue
// counts as empty, nothing in flight, for CanaryOptions.Quiet, and the dead-letter queue
// has none of them: all letters that it counts must have been seen. On a queue that is
// never empty a canary redrive ends with [ErrUndecided].
func Canary(ctx context.Context, source drivers.Source, o *Options, c *CanaryOptions) (Canaries, Result, error) {
	opts, co := setting.Copy(o), setting.Copy(c)
	_, err := o.complete()
	if err := errors.Join(err, setting.Positive("Letters", co.Letters), setting.Default("Wait", &co.Wait, defaultCanaryWait),
		setting.NotNegative("Quiet", co.Quiet), setting.Refuse(opts.Detach, "Detach can't be combined with a canary"),
		setting.Refuse(opts.DryRun, "DryRun can't be combined with a canary")); err != nil {
		return Canaries{}, Result{}, fmt.Errorf("redrive: %w", err)
	}
	inspector, ok := source.(drivers.Inspector)
	if !ok {
		return Canaries{}, Result{}, letters.Unsupported(source, "count")
	}
	w := &canary{CanaryOptions: co, source: source, inspector: inspector, spend: opts.SpendAttempts, sent: make(map[string]int)}
	first := opts
	first.Max = co.Letters
	if opts.Max > 0 {
		first.Max = min(co.Letters, opts.Max)
	}
	first.Found = func(m *handler.Message) {
		w.sent[letterIdentity(m)] = letters.Redrives(m)
		if opts.Found != nil {
			opts.Found(m)
		}
	}
	var out Canaries
	out.Sent, err = Run(ctx, source, &first)
	if err != nil || out.Sent.Moved == 0 {
		return out, out.Sent, err
	}
	if co.Tried != nil {
		co.Tried(out.Sent)
	}
	if out.Returned, err = w.wait(ctx); err != nil {
		return out, out.Sent, err
	}
	out.Acked = true
	rest := opts
	if opts.Max > 0 {
		if rest.Max = opts.Max - int(out.Sent.Moved); rest.Max == 0 {
			return out, out.Sent, nil
		}
	}
	done, err := Run(ctx, source, &rest)
	done.Moved += out.Sent.Moved
	done.Matched += out.Sent.Moved // which are not there to be matched again
	if done.Total != drivers.Unknown {
		done.Total += out.Sent.Moved
	}
	done.Failed += out.Sent.Failed
	done.Doubled += out.Sent.Doubled
	return out, done, err
}

// letterIdentity returns what a letter and what is sent back for it are both known by.
func letterIdentity(m *handler.Message) string {
	l := letters.Of(m)
	return l.Identity()
}

// A canary waits for the letters that were sent back first.
type canary struct {
	CanaryOptions
	source    drivers.Source
	inspector drivers.Inspector
	spend     bool
	sent      map[string]int // how often each was sent back before, by identity
}

// wait returns when all are acked, or with those that returned and ErrReturned.
func (w *canary) wait(ctx context.Context) ([]letters.Letter, error) {
	exact := w.source.Capabilities().FreeRelease
	end := time.Now().Add(w.Wait)
	var (
		emptySince time.Time // when the queue was first seen empty, without a break
		looked     int64     // number of letters when the dead-letter queue was searched last
		unseen     bool      // the last search did not see all letters
	)
	for pause := canaryPause; ; pause = min(pause*3/2, mostPause) {
		over := !time.Now().Before(end)
		depth, err := w.inspector.Depth(ctx)
		switch {
		case err != nil && (ctx.Err() != nil || !drivers.CodeOf(err).Retryable()):
			return nil, scan.Ended(ctx, err)
		case err != nil && over:
			return nil, err
		case err == nil:
			gone, err := w.gone(ctx, exact, depth, &emptySince)
			if err != nil {
				return nil, err
			}
			// Searching the dead-letter queue costs a receive of each letter.
			if gone || over || depth.DeadLetters > looked || depth.DeadLetters == drivers.Unknown {
				returned, seen, err := w.returned(ctx)
				unseen = !exact && seen < depth.DeadLetters
				switch {
				case err != nil:
					return nil, err
				case len(returned) > 0:
					return returned, ErrReturned
				case gone && unseen:
					// Another command holds letters, or those of a group are behind others. Or
					// the count is old.
					emptySince = time.Time{}
				case gone:
					return nil, nil
				}
				looked = depth.DeadLetters
			}
			if over && unseen {
				return nil, fmt.Errorf("%w (%v): not all dead letters could be looked at", ErrUndecided, w.Wait)
			}
			if over {
				return nil, fmt.Errorf("%w (%v)", ErrUndecided, w.Wait)
			}
		}
		if sleep.For(ctx, min(pause, max(time.Until(end), 0)+time.Millisecond)) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// gone reports whether none of the letters that were sent back is in the queue any more.
func (w *canary) gone(ctx context.Context, exact bool, depth drivers.Depth, emptySince *time.Time) (bool, error) {
	if exact {
		ms, err := w.inspector.Peek(ctx, math.MaxInt32, false)
		if err != nil {
			return false, err
		}
		return !slices.ContainsFunc(ms, func(m *handler.Message) bool {
			_, one := w.sent[letterIdentity(m)]
			return one
		}), nil
	}
	if depth.Visible != 0 || depth.InFlight > 0 || depth.Delayed > 0 { // in flight may be part of visible
		*emptySince = time.Time{}
		return false, nil
	}
	if emptySince.IsZero() {
		*emptySince = time.Now()
	}
	quiet := w.Quiet
	if quiet == 0 {
		quiet = depth.Lag
	}
	return time.Since(*emptySince) >= quiet, nil
}

// returned looks for letters of those that were sent back. It also returns how many letters
// it has seen.
func (w *canary) returned(ctx context.Context) (out []letters.Letter, seen int64, err error) {
	r, err := letters.Each(ctx, w.source, &letters.Options{Filter: letters.Filter{Where: func(l letters.Letter) bool {
		before, one := w.sent[l.Identity()]
		return one && l.Redrives > before // another may be a duplicate that was there
	}}, Max: len(w.sent), SpendAttempts: w.spend}, func(l letters.Letter) error {
		out = append(out, l)
		return nil
	})
	return out, r.Seen, err
}
