package redrive

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// The defaults of [Options].
const (
	DefaultMaxRedrives = 3
	DefaultHold        = 10 * time.Minute
)

// Options say which letters are brought back, and how. The zero Options bring
// back all of them, natively if the provider can.
type Options struct {
	// Attributes that a letter must have, each with this value. Empty is any.
	Attributes map[string]string
	// IDs of the letters that are wanted. Empty is all.
	IDs []string
	// Source is the queue that a letter must have come from, for a dead-letter
	// queue that serves several. Empty is any.
	Source string
	// Max is how many letters are brought back at most. Zero means no limit.
	Max int
	// Rate is how many letters are brought back in a second. Zero means no limit
	// (SQS moves up to 500 a second by itself).
	Rate int
	// MaxRedrives is how often one letter may be brought back selectively. Zero
	// means DefaultMaxRedrives, a negative number no limit. A number above zero
	// makes the redrive selective: the provider's own looks at no letter.
	MaxRedrives int
	// DryRun looks and brings nothing back. It is selective, and counts as a
	// delivery of each letter if the provider counts.
	DryRun bool
	// Detach has a native redrive return when the task has been started. An
	// end of ctx then does not cancel it. A redrive that is not native refuses
	// it (drivers.Unsupported): nobody would carry it on.
	Detach bool
	// Hold is how long letters are kept out of sight while the others are
	// looked through. Zero means DefaultHold; it is cut to what the provider
	// allows. After a crash it is how long they stay away.
	Hold time.Duration
	// Progress is called now and then with what was done so far, never
	// concurrently. Nil is not called.
	Progress func(Result)
	// Found is called with each letter that is, or with DryRun would be, brought
	// back. It must not keep it. Nil is not called.
	Found func(m *handler.Message)

	guarded bool // MaxRedrives was asked for
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	var faults []error
	for _, f := range []struct {
		name  string
		value int
	}{{"Max", out.Max}, {"Rate", out.Rate}, {"Hold", int(out.Hold)}} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("redrive: %s must not be negative", f.name))
		}
	}
	out.guarded = out.MaxRedrives > 0
	out.IDs = slices.Compact(slices.Sorted(slices.Values(out.IDs)))
	if out.MaxRedrives == 0 {
		out.MaxRedrives = DefaultMaxRedrives
	}
	if out.Hold == 0 {
		out.Hold = DefaultHold
	}
	if out.Progress == nil {
		out.Progress = func(Result) {}
	}
	if out.Found == nil {
		out.Found = func(*handler.Message) {}
	}
	return out, errors.Join(faults...)
}

// selective reports whether the provider itself cannot do what is wanted.
func (o *Options) selective() bool {
	return len(o.Attributes) > 0 || len(o.IDs) > 0 || o.Source != "" || o.Max > 0 || o.DryRun || o.guarded
}

func (o *Options) wants(m *handler.Message) bool {
	if len(o.IDs) > 0 && !slices.Contains(o.IDs, m.ID) {
		return false
	}
	for k, v := range o.Attributes {
		if got, ok := m.Attributes[k]; !ok || got != v {
			return false
		}
	}
	if o.Source != "" {
		letter, _ := drivers.ParseFailure(m.Attributes)
		return letter.Queue == o.Source
	}
	return true
}

// Mode is how letters were brought back.
type Mode string

// The modes.
const (
	Native    Mode = "native"
	Selective Mode = "selective"
)

// Result is what a redrive did.
type Result struct {
	Mode Mode
	// Moved letters were brought back, or with DryRun would be. A task that was
	// detached has not counted yet.
	Moved int64
	// Total is how many letters there are to move, drivers.Unknown where that
	// is not known.
	Total int64
	// Seen letters were looked at. Refused ones were wanted, but have been
	// brought back too often; Failed ones are nothing that the queue takes, and
	// stay where they are.
	Seen, Refused, Failed int64
	// Doubled letters were sent back and could not be deleted: they are in both
	// queues.
	Doubled int64
	// Hidden is true where letters that were not wanted stood before others of
	// their group in an ordered queue, so that those could not be looked at.
	Hidden bool
	// Task is the native task.
	Task deadletter.Task
}
