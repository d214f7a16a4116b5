package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/provision"
)

// target is a configured queue as admin takes it.
func target(q *config.Queue) admin.Target {
	t := admin.Target{Name: q.Name, URL: q.URL()}
	if q.Configured {
		t.Spec = &q.Spec
	}
	return t
}

// provisionQueues plans or applies the queues, and prints the changes in their order. It
// calls after, if it is not nil, for each queue that had no failure.
func provisionQueues(ctx context.Context, a *app, what string, names []string, do func(*admin.Fleet, context.Context) iter.Seq[admin.Outcome],
	after func(context.Context, admin.Target) error,
) ([]provision.Change, error) {
	queues, err := configured(a, names)
	if err != nil {
		return nil, err
	}
	fleet := &admin.Fleet{Mux: a.mux}
	for i := range queues {
		fleet.Targets = append(fleet.Targets, target(&queues[i]))
	}
	tally := newTally(a, what, len(queues))
	defer tally.clear()
	fleet.Progress = tally.show
	var (
		all    []provision.Change
		faults []error
	)
	for o := range do(fleet, ctx) {
		if o.Err == nil && after != nil {
			tally.clear()
			o.Err = after(ctx, o.Target)
		}
		if end := ctx.Err(); end == nil || !errors.Is(o.Err, end) {
			faults = append(faults, o.Err)
		}
		if len(o.Changes) > 0 {
			tally.clear()
		}
		for _, c := range o.Changes {
			if err := showChange(a, c); err != nil {
				return nil, err
			}
			// A failure ends the changes of a queue: those that follow look as if they were made.
			if what == applying && o.Err != nil && !c.Applied && c.LeftOut == "" && c.Kind != provision.Note && !a.asJSON() {
				if err := a.printf("    not made: an error ended the changes of this queue\n"); err != nil {
					return nil, err
				}
			}
		}
		all = append(all, o.Changes...)
	}
	if err := errors.Join(append(faults, ctx.Err())...); err != nil {
		return all, opening(err)
	}
	return all, nil
}

// configured returns the named queues, or all. None at all is a fault of usage.
func configured(a *app, names []string) ([]config.Queue, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		if len(c.Queues()) == 0 {
			return nil, usage("there is no queue to provision: the configuration has none (%s, or --config FILE)", config.DefaultFile)
		}
		return c.Queues(), nil
	}
	var queues []config.Queue
	for _, n := range names {
		if config.IsURL(n) {
			return nil, usage("%s: a queue that is given by its URL has no configuration to compare with", config.Redact(n))
		}
		q, err := a.find(n)
		if err != nil {
			return nil, err
		}
		queues = append(queues, *q)
	}
	return queues, nil
}

// applying is what a tally calls the applying of changes.
const applying = "apply"

// changeIndent is the column at which the lines of a change after its first begin.
const changeIndent = len("    ")

// showChange prints one change: JSON, or a line as of a diff.
func showChange(a *app, c provision.Change) error {
	if a.asJSON() {
		return a.printJSON(c)
	}
	mark, colour := "~", "33"
	switch c.Kind {
	case provision.Create, provision.Grant:
		mark, colour = "+", "32"
	case provision.Update, provision.Replace, provision.Note:
	}
	if c.Destructive {
		mark, colour = "!", "31"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", mark, c.Queue, c.Resource)
	if c.Field != "" {
		fmt.Fprintf(&b, ": %s", c.Field)
	}
	switch {
	case c.From != "" && c.To != "":
		fmt.Fprintf(&b, ": %s -> %s", c.From, c.To)
	case c.From != "":
		fmt.Fprintf(&b, ": %s -> (none)", c.From)
	case c.To != "":
		fmt.Fprintf(&b, ": %s", c.To)
	}
	width := columns(a.out)
	line := folded(b.String(), 0, changeIndent, width)
	if colours(a.out) {
		line = "\x1b[" + colour + "m" + line + "\x1b[0m"
	}
	if c.LeftOut != "" {
		line += "\n    " + folded("left out: "+c.LeftOut, changeIndent, changeIndent, width)
	}
	switch {
	case strings.Contains(c.Remedy, " --"): // a command stays on one line, to be pasted
		line += "\n    " + c.Remedy
	case c.Remedy != "":
		line += "\n    " + folded(c.Remedy, changeIndent, changeIndent, width)
	}
	return a.printf("%s\n", line)
}
