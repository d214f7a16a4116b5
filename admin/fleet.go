package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/drivers"
)

// A Fleet is queues that are planned, applied, or examined together. At most eight
// queues of a provider, by the URL's scheme, are in progress at a time. The failure of
// one queue keeps none of the others from being reported. The fields must not change
// during a call.
type Fleet struct {
	// Mux opens the queues.
	Mux *drivers.Mux
	// Targets are the queues. Results come in this order.
	Targets []Target
	// Progress is called on the caller's goroutine each time that a queue is
	// finished, with the number of finished queues. Nil reports no progress.
	Progress func(done int)
}

// Plan returns what [Plan] returns for each target, in the order of the targets. If
// ctx ends, the outcome of a target that was not begun is the error of ctx. Each
// range plans anew; ending it early cancels the requests in progress.
func (f *Fleet) Plan(ctx context.Context) iter.Seq[Outcome] {
	return func(yield func(Outcome) bool) {
		done := f.counter()
		for _, o := range each(ctx, f.Targets, f.alone(), f.plan, func(Outcome) { done() }) {
			if !yield(o) {
				return
			}
		}
	}
}

// Apply returns what [Apply] returns for each target, in the order of the targets. It
// plans all of them before it changes the first. Queues whose plans change the same
// resource, such as a dead-letter queue that they share, are applied one after
// another, in the order of the targets. If ctx ends, the outcome of a target that was
// not begun is the error of ctx. Each range applies anew; ending it early cancels the
// requests in progress.
func (f *Fleet) Apply(ctx context.Context, allowDestructive bool) iter.Seq[Outcome] {
	return func(yield func(Outcome) bool) {
		done := f.counter()
		planned := make([]Outcome, 0, len(f.Targets))
		for _, o := range each(ctx, f.Targets, f.alone(), f.plan, func(o Outcome) {
			if o.settled() {
				done()
			}
		}) {
			planned = append(planned, o)
		}
		apply := func(ctx context.Context, t *Target) Outcome {
			o := Outcome{Target: *t}
			if o.Err = begun(ctx, t); o.Err == nil {
				o.Changes, o.Err = Apply(ctx, f.Mux, *t, allowDestructive)
			}
			return o
		}
		next := 0
		upTo := func(end int) bool { // yields the settled ones
			for ; next < end; next++ {
				if !yield(planned[next]) {
					return false
				}
			}
			return true
		}
		for i, o := range each(ctx, f.Targets, f.chains(planned), apply, func(Outcome) { done() }) {
			if !upTo(i) || !yield(o) {
				return
			}
			next++
		}
		upTo(len(planned))
	}
}

// Examine returns what is wrong with the queues, critical findings first, those of one
// severity in the order of the targets; nothing if all are sound. The error has every
// queue that can't be examined, in the order of the targets, or once that of ctx if
// ctx has ended. The findings on the others are returned all the same.
func (f *Fleet) Examine(ctx context.Context) ([]Finding, error) {
	type examined struct {
		found []Finding
		err   error
	}
	done := f.counter()
	var (
		all    []Finding
		faults []error
	)
	for _, e := range each(ctx, f.Targets, f.alone(), func(ctx context.Context, t *Target) (e examined) {
		if e.err = begun(ctx, t); e.err == nil {
			e.found, e.err = examine(ctx, f.Mux, t)
		}
		return e
	}, func(examined) { done() }) {
		slices.SortStableFunc(e.found, func(a, b Finding) int { return cmp.Compare(a.ID, b.ID) })
		all = append(all, e.found...)
		if end := ctx.Err(); end == nil || !errors.Is(e.err, end) {
			faults = append(faults, e.err)
		}
	}
	faults = append(faults, ctx.Err())
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	return all, errors.Join(faults...)
}

func (f *Fleet) plan(ctx context.Context, t *Target) Outcome {
	o := Outcome{Target: *t}
	if o.Err = begun(ctx, t); o.Err == nil {
		o.Changes, o.Err = Plan(ctx, f.Mux, *t)
	}
	return o
}

// counter returns a function that reports one more queue as finished.
func (f *Fleet) counter() func() {
	n := 0
	return func() {
		n++
		if f.Progress != nil {
			f.Progress(n)
		}
	}
}

// alone has each target in a chain of its own.
func (f *Fleet) alone() [][]int {
	chains := make([][]int, len(f.Targets))
	for i := range chains {
		chains[i] = []int{i}
	}
	return chains
}

// chains has the targets that are not settled yet, those in one chain whose plans
// change a common resource, or whose URLs differ in their parameters only, as those
// of queues in the same file do. Chains are in the order of their first targets.
func (f *Fleet) chains(planned []Outcome) [][]int {
	var chains [][]int
	at := map[string]int{} // of a shared thing: its chain
	for i := range planned {
		if planned[i].settled() {
			continue
		}
		mine := []int{i}
		things := planned[i].touches()
		for _, thing := range things {
			c, known := at[thing]
			if !known || chains[c] == nil {
				continue
			}
			mine, chains[c] = append(mine, chains[c]...), nil
		}
		slices.Sort(mine)
		for _, j := range mine {
			for _, thing := range planned[j].touches() {
				at[thing] = len(chains)
			}
		}
		chains = append(chains, mine)
	}
	chains = slices.DeleteFunc(chains, func(c []int) bool { return c == nil })
	slices.SortFunc(chains, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	return chains
}

// begun returns an error if ctx has ended before the target's turn.
func begun(ctx context.Context, t *Target) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", t.name(), err)
	}
	return nil
}

// provider returns the part of a URL that says which provider's limits it shares.
func provider(rawURL string) string {
	scheme, _, _ := strings.Cut(rawURL, ":")
	return scheme
}
