package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/provision"
)

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan [QUEUE...]",
		Short: "Show what apply would change",
		Long: `Compares the queues of the configuration, or the named ones, with those of the
providers, and shows what apply would create, change or grant. It changes nothing.
The exit status is 3 if there are changes and 0 if not.

Changes that can lose messages or guarantees are marked with "!": apply makes them
only with --allow-destructive. Properties that cannot be changed in place are marked
with "~" and have a remedy.`,
		Example: `  sluice plan
  sluice plan orders --config sluice.yaml --config production.yaml -o json`,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := a.provision(args, func(t admin.Target) ([]provision.Change, error) {
				return admin.Plan(cmd.Context(), a.mux, t)
			})
			if err != nil {
				return err
			}
			if len(changes) > 0 {
				return errFindings
			}
			if a.asJSON() {
				return nil
			}
			return a.printf("no changes: the queues are as configured\n")
		},
	}
}

func (a *app) applyCommand() *cobra.Command {
	var destructive bool
	c := &cobra.Command{
		Use:   "apply [QUEUE...]",
		Short: "Make the configuration's queues",
		Long: `Creates the queues of the configuration, or the named ones, with their dead-letter
queues, policies and grants. A second apply changes nothing. Without
--allow-destructive nothing is deleted, shrunk or made lossy: such changes are shown and
skipped, and the exit status is 1, as it is for changes that the provider cannot make
in place. A property that an emulator does not know is shown as left out; the others
are set, and the exit status is 0.`,
		Example: `  sluice apply
  sluice apply orders --allow-destructive`,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := a.provision(args, func(t admin.Target) ([]provision.Change, error) {
				return admin.Apply(cmd.Context(), a.mux, t, destructive)
			})
			if err != nil {
				return err
			}
			return a.applied(changes)
		},
	}
	c.Flags().BoolVar(&destructive, "allow-destructive", false, "make changes too that can lose messages or guarantees")
	return c
}

// applied says how apply ended.
func (a *app) applied(changes []provision.Change) error {
	made, held, stuck, notes, left := 0, 0, 0, 0, 0
	for _, c := range changes {
		if c.LeftOut != "" {
			left++
		}
		switch {
		case c.Applied:
			made++
		case c.Kind == provision.Replace:
			stuck++
		case c.Destructive:
			held++
		case c.Kind == provision.Note:
			notes++
		}
	}
	var faults []error
	if held > 0 {
		faults = append(faults, fmt.Errorf("%d changes can lose messages or guarantees and were left out: give --allow-destructive to make them", held))
	}
	if stuck > 0 {
		faults = append(faults, fmt.Errorf("%d changes cannot be made in place and were left out: the way out stands below each", stuck))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	switch {
	case a.asJSON():
		return nil
	case left > 0:
		return a.printf("%d changes made; %d were left out, or a part of them: the server does not know it, as stands below each\n", made, left)
	case notes > 0:
		return a.printf("%d changes made; %d things are left to you: what to do stands below each\n", made, notes)
	case made == 0:
		return a.printf("nothing to do: the queues are as configured\n")
	default:
		return a.printf("%d changes made\n", made)
	}
}

// target is a configured queue as admin takes it.
func target(q *config.Queue) admin.Target {
	t := admin.Target{Name: q.Name, URL: q.URL()}
	if q.Configured {
		t.Spec = &q.Spec
	}
	return t
}

// provision calls do for each queue and prints the changes.
func (a *app) provision(names []string, do func(t admin.Target) ([]provision.Change, error)) ([]provision.Change, error) {
	queues, err := a.configured(names)
	if err != nil {
		return nil, err
	}
	if len(queues) == 0 {
		return nil, usage("there is no queue to provision: the configuration has none (%s, or --config FILE)", config.DefaultFile)
	}
	var (
		all    []provision.Change
		faults []error
	)
	for _, q := range queues {
		changes, err := do(target(&q))
		if err != nil {
			faults = append(faults, err)
		}
		for _, c := range changes {
			if err := a.showChange(c); err != nil {
				return nil, err
			}
		}
		all = append(all, changes...)
	}
	if err := errors.Join(faults...); err != nil {
		return all, opening(err)
	}
	return all, nil
}

// configured returns the named queues, or all.
func (a *app) configured(names []string) ([]config.Queue, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return c.Queues(), nil
	}
	var queues []config.Queue
	for _, n := range names {
		if config.IsURL(n) {
			return nil, usage("%s: a queue that is given by its URL has no configuration to compare with", config.Redact(n))
		}
		q, err := c.Queue(n)
		if err != nil {
			return nil, err
		}
		queues = append(queues, *q)
	}
	return queues, nil
}

// showChange prints one change: JSON, or a line as of a diff.
func (a *app) showChange(c provision.Change) error {
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
	line := b.String()
	if colours(a.out) {
		line = "\x1b[" + colour + "m" + line + "\x1b[0m"
	}
	if c.LeftOut != "" {
		line += "\n    left out: " + c.LeftOut
	}
	if c.Remedy != "" {
		line += "\n    " + c.Remedy
	}
	return a.printf("%s\n", line)
}
