package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
)

// A crew is the consumer of one queue, or of the queues of a group.
type crew struct {
	group    string // "" for a queue that is in none
	workers  []*worker
	consumer *consumer.Consumer
}

// crews returns the crews of all workers, in the order of their first queue.
func crews(workers []*worker) []*crew {
	var list []*crew
	groups := make(map[string]*crew)
	for _, w := range workers {
		group := groupOf(w.queue)
		c := groups[group]
		if c == nil {
			c = &crew{group: group}
			list = append(list, c)
		}
		if group != "" {
			groups[group] = c
		}
		c.workers = append(c.workers, w)
	}
	return list
}

// groupOf returns the name of a queue's group, "" if it is in none.
func groupOf(q *config.Queue) string {
	if q.Consumer == nil {
		return ""
	}
	return q.Consumer.Group
}

// open opens the queues and makes their consumer.
func (c *crew) open(ctx context.Context, r *run) error {
	o := &r.options
	cc := consumer.Config{
		UntilEmpty: o.UntilEmpty, DrainTimeout: o.DrainTimeout, StopTimeout: o.StopTimeout, Observers: r.list, Logger: o.Logger,
		Concurrency: c.workers[0].concurrency(), QuietStop: true,
	}
	sources := make([]consumer.Weighted, len(c.workers))
	for i, w := range c.workers {
		if err := w.open(ctx, r); err != nil {
			return err
		}
		sources[i] = w.opened
		d := w.stallAfter
		if d == 0 && len(sources) > 1 { // the longest holds for all
			d = cmp.Or(w.opened.Source.Capabilities().Lease, time.Minute)
		}
		cc.StallAfter = max(cc.StallAfter, d)
	}
	made, err := consumer.NewWeighted(sources, nil, &cc)
	if err != nil {
		return usage("%s: %w", c, err)
	}
	c.consumer = made
	return nil
}

// String names the queues.
func (c *crew) String() string {
	names := make([]string, len(c.workers))
	for i, w := range c.workers {
		names[i] = fmt.Sprintf("%q", w.queue.Name)
	}
	if c.group != "" {
		return fmt.Sprintf("group %q of queues %s", c.group, strings.Join(names, ", "))
	}
	return "queue " + names[0]
}

// discard closes what open has opened and nothing runs.
func (c *crew) discard() error {
	if c.consumer != nil {
		return c.consumer.Close()
	}
	var faults []error
	for _, w := range c.workers {
		if s := w.opened.Source; s != nil {
			faults = append(faults, s.Close())
		}
	}
	return errors.Join(faults...)
}

// work runs the consumer until ctx is done. Its error names the queues.
func (c *crew) work(ctx context.Context) error {
	err := c.consumer.Run(ctx)
	if named := (*drivers.Error)(nil); err == nil || errors.As(err, &named) {
		return err
	}
	return fmt.Errorf("%s: %w", c, err)
}

// Abort implements running.
func (c *crew) Abort() { c.consumer.Abort() }

// Health implements running: the state of the consumer, with what operators ask of its
// queues.
func (c *crew) Health() consumer.Health {
	h := c.consumer.Health()
	for i, w := range c.workers {
		w.note(&h.Queues[i])
	}
	return h
}
