package redrive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// DefaultMaxRedrives is the default of [Options].MaxRedrives.
const DefaultMaxRedrives = 3

// Options say which letters are brought back, and how. The zero Options redrive
// all of them, natively if the provider can.
type Options struct {
	// Filter selects letters.
	Filter letters.Filter
	// Max is how many letters are brought back at most. Zero means no limit.
	Max int
	// Rate is how many letters are brought back in a second. Zero means no limit
	// (SQS moves up to 500 a second by itself).
	Rate int
	// MaxRedrives is how often one letter may be brought back selectively. Zero
	// means DefaultMaxRedrives, a negative number no limit. A positive number
	// makes the redrive selective, because a native redrive cannot examine
	// letters.
	MaxRedrives int
	// DryRun examines letters and redrives none. It is selective, and counts as a
	// delivery of each letter if the provider counts. It examines all letters, also
	// beyond Max, so that the result has all that are wanted.
	DryRun bool
	// Detach has a native redrive return when the task has been started. An
	// end of ctx then does not cancel it. A redrive that is not native refuses
	// it (drivers.Unsupported): nobody would carry it on.
	Detach bool
	// Hold is how long letters are kept out of sight while the others are
	// looked through. Zero means 10 minutes; it is cut to what the provider
	// allows. After a crash it is how long they stay away.
	Hold time.Duration
	// SpendAttempts permits a selective redrive to look at a dead-letter queue that has a
	// dead-letter queue of its own and allows three deliveries or fewer. False refuses it
	// with letters.ErrFewAttempts. A native redrive looks at nothing.
	SpendAttempts bool
	// Progress is called from time to time with the result so far, never
	// concurrently. Nil is not called.
	Progress func(Result)
	// Found is called with each letter that is, or with DryRun would be, brought
	// back. It must not keep it. Nil is not called.
	Found func(m *handler.Message)

	guarded bool // MaxRedrives was asked for
}

// complete returns a copy of o with its defaults, and its faults.
func (o *Options) complete() (Options, error) {
	out := setting.Copy(o)
	out.guarded = out.MaxRedrives > 0
	out.Filter.IDs = slices.Compact(slices.Sorted(slices.Values(out.Filter.IDs)))
	out.MaxRedrives = cmp.Or(out.MaxRedrives, DefaultMaxRedrives)
	if out.Progress == nil {
		out.Progress = func(Result) {}
	}
	if out.Found == nil {
		out.Found = func(*handler.Message) {}
	}
	if err := errors.Join(
		setting.NotNegative("Max", out.Max),
		setting.NotNegative("Rate", out.Rate),
		setting.Default("Hold", &out.Hold, scan.DefaultHold),
	); err != nil {
		return out, fmt.Errorf("redrive: %w", err)
	}
	return out, nil
}

// selective reports whether the provider cannot perform the redrive itself.
func (o *Options) selective() bool {
	return !o.Filter.IsZero() || o.Max > 0 || o.DryRun || o.guarded
}

// Mode is how letters were brought back.
type Mode string

// The modes.
const (
	Native    Mode = "native"
	Selective Mode = "selective"
	// Archived letters are those of an export or an archive, sent one by one.
	Archived Mode = "archived"
)

// Result is the result of a redrive.
type Result struct {
	Mode Mode
	// Moved letters were brought back, or with DryRun would be. A task that was
	// detached has not counted yet.
	Moved int64
	// Total is how many letters there are to move, drivers.Unknown where that
	// is not known.
	Total int64
	// Seen letters were looked at, and Matched ones were selected by the filter. Of
	// these, Refused ones have been brought back too often, and Failed ones the queue
	// refused; both remain in the dead-letter queue. A dry run looks at all letters;
	// otherwise Matched ends with Max.
	Seen, Matched, Refused, Failed int64
	// Doubled letters were sent back and could not be deleted: they are in both
	// queues.
	Doubled int64
	// Hidden is true where letters that were not wanted stood before others of
	// their group in an ordered queue, so that those could not be looked at.
	Hidden bool
	// Task is the native task.
	Task deadletter.Task
}
