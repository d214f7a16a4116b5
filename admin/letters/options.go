package letters

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/internal/setting"
)

// ErrFewAttempts is the cause of the error, of the code drivers.Invalid, of an operation that
// would look at letters and may move them on by that: see [Options].SpendAttempts.
var ErrFewAttempts = scan.ErrFewAttempts

// Options select letters and say how they are looked through. The zero Options take all.
type Options struct {
	// Filter selects letters.
	Filter Filter
	// Max is how many letters are taken at most. Zero means no limit.
	Max int
	// Hold is how long letters are kept out of sight while the others are looked
	// through, on a provider that shows letters by delivering them. Zero means 10
	// minutes; it is cut to what the provider allows. After a crash it is how long they
	// stay away.
	Hold time.Duration
	// SpendAttempts permits looks at a dead-letter queue that has a dead-letter queue of
	// its own and allows three deliveries or fewer, of which a look is one. False refuses
	// them with ErrFewAttempts. Queues that are read without a delivery are never refused.
	SpendAttempts bool
	// Progress is called from time to time with the result so far, never concurrently.
	// Nil is not called.
	Progress func(Result)
}

// complete returns a copy of o with its defaults, and its faults.
func (o *Options) complete() (Options, error) {
	out := setting.Copy(o)
	if out.Progress == nil {
		out.Progress = func(Result) {}
	}
	if err := errors.Join(
		setting.NotNegative("Max", out.Max),
		setting.Default("Hold", &out.Hold, scan.DefaultHold),
	); err != nil {
		return out, fmt.Errorf("letters: %w", err)
	}
	return out, nil
}

// enough reports whether no more letters are wanted.
func (o *Options) enough(r Result) bool {
	return o.Max > 0 && r.Matched >= int64(o.Max) || o.Filter.OnlyIDs() && r.Matched >= int64(distinct(o.Filter.IDs))
}

// batch is how many letters are received at the same time: no more than may still be
// taken, since each is a delivery.
func (o *Options) batch(r Result) int {
	if o.Max > 0 && o.Filter.IsZero() {
		return o.Max - int(r.Matched)
	}
	return scan.AtOnce
}

func distinct(ids []string) int {
	return len(slices.Compact(slices.Sorted(slices.Values(ids))))
}

// Result counts the letters of an operation.
type Result struct {
	// Seen letters were looked at, Matched ones selected by the filter, and Done ones
	// were discarded, exported or whatever the operation does.
	Seen, Matched, Done int64
	// Hidden is true if letters that were held stood before others of their group in an
	// ordered queue, so that those could not be looked at.
	Hidden bool
}
