package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/internal/noun"
)

// An applyCommand makes the configuration's queues.
type applyCommand struct {
	*app

	destructive bool
}

func newApply(a *app) *cobra.Command {
	p := &applyCommand{app: a}
	c := &cobra.Command{
		Use:   "apply [QUEUE...]",
		Short: "Make the configuration's queues",
		Long: `Creates the queues of the configuration, or the named ones, with their dead-letter
queues, policies and grants. A second apply changes nothing. Without
--allow-destructive nothing is deleted, shrunk or made lossy: such changes are shown and
skipped, and the exit status is 1, as it is for changes that the provider cannot make
in place. A property that an emulator does not know is shown as left out; the others
are set, and the exit status is 0.

Alarms are created on SQS. On Pub/Sub they are alert policies of Cloud Monitoring,
which sluice plan --alerts prints for gcloud.`,
		Example: `  sluice apply
  sluice apply orders --allow-destructive`,
		Args:              a.someQueues,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.run(cmd.Context(), args)
		},
	}
	c.Flags().BoolVar(&p.destructive, "allow-destructive", false, "make changes too that can lose messages or guarantees")
	return c
}

func (p *applyCommand) run(ctx context.Context, names []string) error {
	changes, err := provisionQueues(ctx, p.app, applying, names, func(f *admin.Fleet, ctx context.Context) iter.Seq[admin.Outcome] {
		return f.Apply(ctx, p.destructive)
	}, p.leaveAlerts)
	if err != nil {
		return errors.Join(p.reportPart(changes), err)
	}
	return p.report(changes)
}

// leaveAlerts logs that the alarms of a queue are left to the user, if they are.
func (p *applyCommand) leaveAlerts(ctx context.Context, t admin.Target) error {
	if t.Spec.Alarms == nil {
		return nil
	}
	policies, err := admin.Alerts(ctx, p.mux, t)
	if len(policies) > 0 {
		p.log.Warn("the provider takes no alarms from sluice: create its alert policies yourself", "queue", t.Name,
			"policies", len(policies), "command", adviser{p.app}.alerting(t.Name))
	}
	return err
}

// reportPart says how many changes were made before an error.
func (p *applyCommand) reportPart(changes []provision.Change) error {
	made := 0
	for _, c := range changes {
		if c.Applied {
			made++
		}
	}
	if p.asJSON() || len(changes) == 0 {
		return nil
	}
	return p.printf("%d of %s made\n", made, noun.Counted(len(changes), "change"))
}

// report says how apply ended.
func (p *applyCommand) report(changes []provision.Change) error {
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
		faults = append(faults, fmt.Errorf("left out %s that can lose messages or guarantees: give --allow-destructive to make them all", noun.Counted(held, "change")))
	}
	if stuck > 0 {
		faults = append(faults, fmt.Errorf("left out %s that cannot be made in place: the way out stands below each", noun.Counted(stuck, "change")))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	switch {
	case p.asJSON():
		return nil
	case left > 0:
		return p.printf("%s made; %d left out, in part or as a whole: the server does not know them, as stands below each\n", noun.Counted(made, "change"), left)
	case notes > 0:
		return p.printf("%s made; %s left to you: what to do stands below each\n", noun.Counted(made, "change"), noun.Counted(notes, "thing"))
	case made == 0:
		return p.printf("nothing to do: the queues are as configured\n")
	default:
		return p.printf("%s made\n", noun.Counted(made, "change"))
	}
}
