package drivertest

import (
	"errors"
	"net/url"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

func provisionRules() []Rule {
	return []Rule{
		{"PROV-1", "Applying a plan makes the queue: the next plan of the same specification has no steps.", planConverges},
		{"PROV-2", "Planning changes nothing: the next plan is the same, and the queue is made only when it is applied.", planIsDry},
		{"PROV-3", "Applying a plan changes nothing that its specification leaves unset.", planLeavesUnset},
		{"PROV-4", "An examination of a queue that was just applied reports its properties, and no fault.", examineApplied},
	}
}

// A site is a queue that doesn't exist before a rule makes it.
type site struct {
	*check
	opener drivers.Opener
	u      *url.URL
}

// newSite returns a queue to be made, or ends the check.
func newSite(c *check) *site {
	c.needs(c.h.Unmade != nil, "the queue is not made by applying a plan")
	o, u, err := c.h.Unmade(c.ctx)
	require.NoError(c, err, "the harness could not name a queue")
	return &site{check: c, opener: o, u: u}
}

// spec is a specification that every provider can honor.
func (s *site) spec() *provision.Spec {
	return &provision.Spec{
		Name: "orders", VisibilityTimeout: time.Minute, Retention: 24 * time.Hour,
		DeadLetter: &provision.DeadLetter{MaxAttempts: max(7, s.h.minAttempts())},
		Retry:      &provision.Retry{Min: 10 * time.Second, Max: 10 * time.Minute},
	}
}

// plan returns a plan, which is released when the check ends.
func (s *site) plan(spec *provision.Spec) *provision.Plan {
	planner, ok := s.opener.(provision.Planner)
	if !ok {
		s.fatalf("the harness has Unmade, but the opener makes no plans")
	}
	p, err := planner.Plan(s.ctx, s.u, spec)
	require.NoError(s, err, "plan")
	s.atEnd(p.Close)
	return p
}

// changes are the changes of a plan.
func (s *site) changes(spec *provision.Spec) []provision.Change {
	var cs []provision.Change
	for _, step := range s.plan(spec).Steps {
		cs = append(cs, step.Change)
	}
	return cs
}

// apply takes all steps of a plan, as package admin does.
func (s *site) apply(spec *provision.Spec) {
	for _, step := range s.plan(spec).Steps {
		if step.Do == nil {
			s.fatalf("the plan leaves a step to the user: %+v", step.Change)
		}
		var lacks *provision.LeftOutError
		if err := step.Do(s.ctx); err != nil && !errors.As(err, &lacks) {
			s.fatalf("the step %+v failed: %v", step.Change, err)
		}
	}
}

func (s *site) examine() (*provision.State, error) {
	examiner, ok := s.opener.(provision.Examiner)
	s.needs(ok, "the driver does not examine queues")
	return examiner.Examine(s.ctx, s.u)
}

func planConverges(c *check) {
	s := newSite(c)
	require.NotEmpty(c, s.changes(s.spec()), "the plan of a queue that does not exist")
	s.apply(s.spec())
	require.Empty(c, s.changes(s.spec()), "the plan after the apply")
}

func planIsDry(c *check) {
	s := newSite(c)
	first := s.changes(s.spec())
	require.Equal(c, first, s.changes(s.spec()), "the second plan")
	_, err := s.examine()
	c.refused(err, "examining a queue that was planned and not applied", drivers.NotFound)
}

func planLeavesUnset(c *check) {
	s := newSite(c)
	full := s.spec()
	s.apply(full)
	// A specification without a dead-letter queue asks for none.
	few := &provision.Spec{Name: full.Name, DeadLetter: full.DeadLetter}
	require.Empty(c, s.changes(few), "the plan that asks for nothing else")
	few.Retention = 48 * time.Hour
	s.apply(few)
	full.Retention = 48 * time.Hour
	require.Empty(c, s.changes(full), "the retention was applied, and something else changed too")
}

func examineApplied(c *check) {
	s := newSite(c)
	want := s.spec()
	s.apply(want)
	state, err := s.examine()
	require.NoError(c, err, "examine")
	require.Empty(c, state.Faults)
	require.NotEmpty(c, state.Queue)
	require.Equal(c, want.VisibilityTimeout, state.Lease, "the lease")
	require.Equal(c, want.Retention, state.Retention, "the retention")
	require.NotNil(c, state.DeadLetter, "the dead-letter policy")
	require.Equal(c, want.DeadLetter.MaxAttempts, state.DeadLetter.MaxAttempts, "the limit of attempts")
	require.Zero(c, state.DeadLetter.Letters)
}
