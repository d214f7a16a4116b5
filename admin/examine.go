// Package admin is for the operators of queues. [Examine] asks each queue's driver
// (drivers.Diagnoser) for findings, and grades and orders them.
package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sluice-go/sluice/drivers"
)

// A Target is a queue to be examined.
type Target struct {
	// Name is what the queue is called in what is found. Empty is its URL.
	Name string
	// URL is the queue's.
	URL string
	// Spec is what the configuration says of the queue, nil where there is none.
	Spec *drivers.QueueSpec
}

// atOnce bounds how many queues are examined at a time.
const atOnce = 8

// Examine returns what is wrong with the queues, critical findings first; none
// where all are sound. A queue that cannot be examined is in the error; what was
// found on the others is returned all the same.
func Examine(ctx context.Context, mux *drivers.Mux, targets []Target) ([]drivers.Finding, error) {
	found := make([][]drivers.Finding, len(targets))
	faults := make([]error, len(targets))
	places := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			found[i], faults[i] = examine(ctx, mux, t)
		})
	}
	wg.Wait()
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b drivers.Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.ID, b.ID))
	})
	return all, errors.Join(faults...)
}

func examine(ctx context.Context, mux *drivers.Mux, t Target) ([]drivers.Finding, error) {
	name := cmp.Or(t.Name, t.URL)
	opener, u, err := mux.Opener(t.URL)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d, ok := opener.(drivers.Diagnoser)
	if !ok {
		return nil, &drivers.Error{Code: drivers.Unsupported, Queue: name, Op: "doctor",
			Err: fmt.Errorf("the %s driver cannot examine a queue", u.Scheme)}
	}
	fs, err := d.Diagnose(ctx, u, t.Spec)
	for i := range fs {
		fs[i].Queue = cmp.Or(t.Name, fs[i].Queue, t.URL)
	}
	if err != nil {
		return fs, fmt.Errorf("%s: %w", name, err)
	}
	return fs, nil
}

func rank(s drivers.Severity) int {
	switch s {
	case drivers.Critical:
		return 0
	case drivers.Major:
		return 1
	case drivers.Minor:
		return 2
	default:
		return 3
	}
}
