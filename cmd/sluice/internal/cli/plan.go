package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin"
)

// A planCommand shows what apply would change.
type planCommand struct {
	*app

	alerts bool
}

func newPlan(a *app) *cobra.Command {
	p := &planCommand{app: a}
	c := &cobra.Command{
		Use:   "plan [QUEUE...]",
		Short: "Show what apply would change",
		Long: `Compares the queues of the configuration, or the named ones, with those of the
providers, and shows what apply would create, change or grant. It changes nothing.
The exit status is 3 if there are changes and 0 if not.

Changes that can lose messages or guarantees are marked with "!": apply makes them
only with --allow-destructive. Properties that cannot be changed in place are marked
with "~" and have a remedy.

With --alerts it prints the alarms of the configuration that the provider does not
take from Sluice, and nothing else: for Pub/Sub, each alert policy of Cloud Monitoring
as one line of JSON. gcloud creates it.`,
		Example: `  sluice plan
  sluice plan orders --config sluice.yaml --config production.yaml -o json
  sluice plan orders --alerts | while read -r p; do gcloud alpha monitoring policies create --policy="$p"; done`,
		Args:              a.someQueues,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.alerts {
				return p.showAlerts(cmd.Context(), args)
			}
			return p.run(cmd.Context(), args)
		},
	}
	c.Flags().BoolVar(&p.alerts, "alerts", false, "print the alert policies that are left to you, one a line")
	return c
}

func (p *planCommand) run(ctx context.Context, names []string) error {
	changes, err := provisionQueues(ctx, p.app, "plan", names, (*admin.Fleet).Plan, nil)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		return errFindings
	}
	if p.asJSON() {
		return nil
	}
	return p.printf("no changes: the queues are as configured\n")
}

// showAlerts prints the alert policies that are left to the user.
func (p *planCommand) showAlerts(ctx context.Context, names []string) error {
	queues, err := configured(p.app, names)
	if err != nil {
		return err
	}
	shown := 0
	for _, q := range queues {
		policies, err := admin.Alerts(ctx, p.mux, target(&q))
		if err != nil {
			return opening(err)
		}
		for _, policy := range policies {
			if err := p.printJSON(policy); err != nil {
				return err
			}
		}
		shown += len(policies)
	}
	if shown == 0 {
		p.log.Info("no alert policy is left to you: the configuration has no alarms, or apply makes them")
	}
	return nil
}
