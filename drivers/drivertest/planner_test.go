package drivertest

import (
	"cmp"
	"context"
	"errors"
	"net/url"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// A planner is the reference's opener, for the rules on provisioning. It opens
// nothing.
type planner struct {
	drivers.Opener
	mutant mutant
	made   bool
	has    provision.Spec
}

func unmade(m mutant) func(context.Context) (drivers.Opener, *url.URL, error) {
	return func(context.Context) (drivers.Opener, *url.URL, error) {
		return &planner{mutant: m}, &url.URL{Scheme: "reference", Host: "orders"}, nil
	}
}

func (p *planner) Plan(_ context.Context, _ *url.URL, s *provision.Spec) (*provision.Plan, error) {
	want := p.has
	if p.mutant.resetsUnset {
		want = provision.Spec{}
	}
	want.VisibilityTimeout = cmp.Or(s.VisibilityTimeout, want.VisibilityTimeout)
	want.Retention = cmp.Or(s.Retention, want.Retention)
	want.DeadLetter = cmp.Or(s.DeadLetter, want.DeadLetter)
	make := func(context.Context) error {
		p.made, p.has = true, want
		return nil
	}
	plan := &provision.Plan{}
	switch {
	case !p.made:
		plan.Add(provision.Change{Resource: "reference queue orders", Kind: provision.Create}, make)
	case !p.same(&want) || p.mutant.plansForever:
		plan.Add(provision.Change{Resource: "reference queue orders", Kind: provision.Update}, make)
	}
	if p.mutant.plansApply {
		return plan, make(context.Background())
	}
	return plan, nil
}

func (p *planner) same(want *provision.Spec) bool {
	attempts := func(s *provision.Spec) int {
		if s.DeadLetter == nil {
			return 0
		}
		return s.DeadLetter.MaxAttempts
	}
	return p.has.VisibilityTimeout == want.VisibilityTimeout && p.has.Retention == want.Retention && attempts(&p.has) == attempts(want)
}

func (p *planner) Examine(context.Context, *url.URL) (*provision.State, error) {
	if !p.made {
		return nil, &drivers.Error{Code: drivers.NotFound, Queue: "orders", Op: "examine", Err: errors.New("it was not made")}
	}
	s := &provision.State{Queue: "orders", Lease: p.has.VisibilityTimeout, Retention: p.has.Retention}
	if d := p.has.DeadLetter; d != nil {
		s.DeadLetter = &provision.DeadLetterState{MaxAttempts: d.MaxAttempts}
	}
	if p.mutant.findsFaults {
		s.Fault(provision.ShortPolling, "a fault that is none")
	}
	return s, nil
}
