package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// Plan returns the changes that would make the queue what t.Spec asks for, in the
// order in which [Apply] makes them. It changes nothing. No changes means that
// there is nothing to do.
func Plan(ctx context.Context, mux *drivers.Mux, t Target) ([]provision.Change, error) {
	p, err := plan(ctx, mux, &t)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return changes(p, &t), nil
}

// Apply makes the changes and returns all of them, with those marked that it
// made. It makes destructive changes only with allowDestructive, and leaves those
// out that the provider can't make in place. A property that the server doesn't
// know doesn't keep the others from being set: it is in LeftOut. If a change
// fails, the changes after it are not made.
func Apply(ctx context.Context, mux *drivers.Mux, t Target, allowDestructive bool) ([]provision.Change, error) {
	p, err := plan(ctx, mux, &t)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Do == nil || s.Destructive && !allowDestructive {
			continue
		}
		err := s.Do(ctx)
		if left := (*provision.LeftOutError)(nil); errors.As(err, &left) {
			s.Applied = left.Made
			if len(left.What) > 0 {
				s.LeftOut = left.Error()
			}
			continue
		}
		if err != nil {
			return changes(p, &t), fmt.Errorf("%s: %w", t.name(), err)
		}
		s.Applied = true
	}
	return changes(p, &t), nil
}

// Alerts returns the alarms of t.Spec that the provider doesn't take from Sluice,
// each a JSON document for the provider's own tool. It changes nothing. Pub/Sub:
// alert policies for gcloud alpha monitoring policies create --policy-from-file.
func Alerts(ctx context.Context, mux *drivers.Mux, t Target) ([]json.RawMessage, error) {
	p, err := plan(ctx, mux, &t)
	if err != nil {
		return nil, err
	}
	p.Close()
	return p.Alerts, nil
}

func plan(ctx context.Context, mux *drivers.Mux, t *Target) (*provision.Plan, error) {
	planner, u, err := capable[provision.Planner](mux, t, "provision", "makes no queues")
	if err != nil {
		return nil, err
	}
	spec := t.Spec
	if spec == nil {
		spec = &provision.Spec{}
	}
	p, err := planner.Plan(ctx, u, spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name(), err)
	}
	return p, nil
}

func changes(p *provision.Plan, t *Target) []provision.Change {
	cs := make([]provision.Change, len(p.Steps))
	for i, s := range p.Steps {
		cs[i] = s.Change
		cs[i].Queue = t.name()
	}
	return cs
}
