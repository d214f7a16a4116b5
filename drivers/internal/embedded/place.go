package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/internal/queue"
)

// A Place is the location of a queue, which may not exist yet.
type Place struct {
	// Kind is in the names of resources, such as "sqlite".
	Kind  string
	Queue string
	// Missing reports that the store itself doesn't exist, and so has no queue. Nil
	// reports that it does.
	Missing func() bool
	// Use calls do with the store's engine. It makes a store that is missing.
	Use func(ctx context.Context, do func(e queue.Engine) error) error
	// Classify is [Target.Classify].
	Classify func(err error) (drivers.Code, string)
}

// errNoStore is internal: the store is missing.
var errNoStore = errors.New("the store does not exist")

// read calls do with the store's engine, unless the store is missing.
func (p *Place) read(ctx context.Context, do func(e queue.Engine) error) error {
	if p.Missing != nil && p.Missing() {
		return errNoStore
	}
	return p.Use(ctx, do)
}

func (p *Place) fail(ctx context.Context, op string, err error) error {
	if e := (*drivers.Error)(nil); errors.As(err, &e) {
		return err
	}
	o := &opened{Target: Target{Queue: p.Queue, Classify: p.Classify}}
	return o.fail(ctx, op, err)
}

// A property is one of a queue's, in the words of the configuration.
type property struct {
	field string
	text  func(c *queue.Config) string
	set   func(to, from *queue.Config)
	// lossy reports whether the change can lose messages or guarantees.
	lossy func(has, want *queue.Config) bool
}

var properties = []property{
	{"visibility_timeout", func(c *queue.Config) string { return c.Visibility.String() },
		func(to, from *queue.Config) { to.Visibility = from.Visibility }, nil},
	{"retention", func(c *queue.Config) string { return c.Retention.String() },
		func(to, from *queue.Config) { to.Retention = from.Retention },
		func(has, want *queue.Config) bool { return want.Retention < has.Retention }},
	{"fifo", func(c *queue.Config) string { return fmt.Sprint(c.Ordered) },
		func(to, from *queue.Config) { to.Ordered = from.Ordered },
		func(has, _ *queue.Config) bool { return has.Ordered }},
	{"dead_letter", func(c *queue.Config) string {
		switch {
		case c.DeadLetter == "":
			return ""
		case c.MaxReceives == 0:
			return c.DeadLetter + " without a limit"
		default:
			return fmt.Sprintf("%s after %d", c.DeadLetter, c.MaxReceives)
		}
	}, func(to, from *queue.Config) { to.DeadLetter, to.MaxReceives = from.DeadLetter, from.MaxReceives },
		// Letters in the old dead-letter queue are then nobody's.
		func(has, want *queue.Config) bool { return has.DeadLetter != "" && has.DeadLetter != want.DeadLetter }},
	{"dedupe_window", func(c *queue.Config) string { return c.DedupeWindow.String() },
		func(to, from *queue.Config) { to.DedupeWindow = from.DedupeWindow }, nil},
	{"delay", func(c *queue.Config) string { return c.Delay.String() },
		func(to, from *queue.Config) { to.Delay = from.Delay }, nil},
}

// Plan returns the steps that make the queue and its dead-letter queue what c asks
// for, the dead-letter queue first.
func (p *Place) Plan(ctx context.Context, c *Config) (*provision.Plan, error) {
	plan := &provision.Plan{}
	err := p.read(ctx, func(e queue.Engine) error {
		has, _, err := e.Config(ctx, p.Queue)
		if errors.Is(err, queue.ErrNotFound) {
			return errNoStore
		}
		if err != nil {
			return err
		}
		want := c.apply(has)
		if err := p.planLetters(ctx, plan, e, c, want); err != nil {
			return err
		}
		for _, one := range properties {
			p.compare(plan, p.Queue, one, has, want)
		}
		return nil
	})
	if errors.Is(err, errNoStore) {
		err = p.planNew(ctx, plan, c)
	}
	if err != nil {
		return nil, p.fail(ctx, "plan", err)
	}
	return plan, nil
}

// planNew plans a queue that doesn't exist.
func (p *Place) planNew(ctx context.Context, plan *provision.Plan, c *Config) error {
	want := c.apply(initial(p.Queue))
	err := p.read(ctx, func(e queue.Engine) error { return p.planLetters(ctx, plan, e, c, want) })
	if errors.Is(err, errNoStore) {
		p.addLetters(plan, c, want)
	} else if err != nil {
		return err
	}
	plan.Add(provision.Change{Resource: p.resource(p.Queue), Kind: provision.Create, To: describe(&want)}, p.with("apply", func(ctx context.Context, e queue.Engine) error {
		_, err := prepare(ctx, e, p.Queue, c)
		return err
	}))
	return nil
}

// planLetters plans the dead-letter queue of a queue with the configuration want.
func (p *Place) planLetters(ctx context.Context, plan *provision.Plan, e queue.Engine, c *Config, want queue.Config) error {
	if want.DeadLetter == "" {
		return nil
	}
	has, _, err := e.Config(ctx, want.DeadLetter)
	if errors.Is(err, queue.ErrNotFound) {
		p.addLetters(plan, c, want)
		return nil
	}
	if err != nil || c.DeadLetterRetention == 0 {
		return err
	}
	kept := has
	kept.Retention = c.DeadLetterRetention
	for _, one := range properties {
		p.compare(plan, want.DeadLetter, one, has, kept)
	}
	return nil
}

// addLetters plans a dead-letter queue that doesn't exist.
func (p *Place) addLetters(plan *provision.Plan, c *Config, want queue.Config) {
	if want.DeadLetter == "" {
		return
	}
	plan.Add(provision.Change{Resource: p.resource(want.DeadLetter), Kind: provision.Create, To: "retention=" + c.lettersRetention(want).String()},
		p.with("apply", func(ctx context.Context, e queue.Engine) error { return makeDeadLetters(ctx, e, c, want) }))
}

// compare plans to change one property, if it differs.
func (p *Place) compare(plan *provision.Plan, name string, one property, has, want queue.Config) {
	from, to := one.text(&has), one.text(&want)
	if from == to {
		return
	}
	change := provision.Change{Resource: p.resource(name), Kind: provision.Update, Field: one.field, From: from, To: to,
		Destructive: one.lossy != nil && one.lossy(&has, &want)}
	plan.Add(change, p.with("apply", func(ctx context.Context, e queue.Engine) error {
		now, _, err := e.Config(ctx, name)
		if err != nil {
			return err
		}
		one.set(&now, &want)
		return e.Configure(ctx, name, now)
	}))
}

func (p *Place) with(op string, do func(ctx context.Context, e queue.Engine) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		return p.fail(ctx, op, p.Use(ctx, func(e queue.Engine) error { return do(ctx, e) }))
	}
}

func (p *Place) resource(name string) string { return p.Kind + " queue " + name }

// Examine reads the facts about the queue and its dead letters. It changes
// nothing: reading an embedded queue is not a delivery.
func (p *Place) Examine(ctx context.Context) (*provision.State, error) {
	s := &provision.State{Queue: p.Queue}
	err := p.read(ctx, func(e queue.Engine) error { return p.examine(ctx, e, s) })
	if errors.Is(err, errNoStore) || errors.Is(err, queue.ErrNotFound) {
		return nil, &drivers.Error{Code: drivers.NotFound, Queue: p.Queue, Op: "examine", Err: err,
			Remedy: "apply its configuration or open it to create it"}
	}
	if err != nil {
		return nil, p.fail(ctx, "examine", err)
	}
	return s, nil
}

func (p *Place) examine(ctx context.Context, e queue.Engine, s *provision.State) error {
	c, _, err := e.Config(ctx, p.Queue)
	if err != nil {
		return err
	}
	stats, err := e.Stats(ctx, p.Queue)
	if err != nil {
		return err
	}
	s.Lease, s.Retention, s.Ordered = c.Visibility, c.Retention, c.Ordered
	s.OldestAge = max(stats.OldestAge, 0)
	if c.DeadLetter == "" {
		return nil
	}
	d := &provision.DeadLetterState{Name: c.DeadLetter, MaxAttempts: c.MaxReceives, KeepsAge: !c.Ordered}
	s.DeadLetter = d
	dead, _, err := e.Config(ctx, c.DeadLetter)
	if errors.Is(err, queue.ErrNotFound) {
		s.Fault(provision.DeadLetterMissing, fmt.Sprintf("the queue's dead-letter queue is %s, which does not exist", c.DeadLetter))
		return nil
	}
	if err != nil {
		return err
	}
	d.Retention = dead.Retention
	if stats, err = e.Stats(ctx, c.DeadLetter); err != nil {
		return err
	}
	d.Letters = stats.Visible + stats.InFlight + stats.Delayed
	sample, err := e.Peek(ctx, c.DeadLetter, provision.SampledLetters)
	if err != nil {
		return err
	}
	for _, m := range sample {
		d.Ages = append(d.Ages, time.Since(m.EnqueuedAt))
	}
	return nil
}

// describe writes a configuration's properties, leaving out those that are zero.
func describe(c *queue.Config) string {
	var parts []string
	for _, one := range properties {
		switch text := one.text(c); text {
		case "", "0s", "false":
		default:
			parts = append(parts, one.field+"="+text)
		}
	}
	return strings.Join(parts, " ")
}
