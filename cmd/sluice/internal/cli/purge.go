package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/drivers"
)

func (a *app) purgeCommand() *cobra.Command {
	var dead, yes bool
	c := &cobra.Command{
		Use:   "purge QUEUE --yes",
		Short: "Remove all messages of a queue",
		Long: `Removes every message of the queue, or with --dead every letter of its dead-letter
queue. They cannot be restored. Without --yes it only reports what it would remove.`,
		Example: `  sluice purge orders
  sluice purge orders --dead --yes`,
		Args:              a.queueArgs(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.purge(cmd.Context(), args[0], dead, yes)
		},
	}
	c.Flags().BoolVar(&dead, "dead", false, "remove the dead letters, not the messages")
	c.Flags().BoolVar(&yes, "yes", false, "really do it")
	return c
}

func (a *app) purge(ctx context.Context, queue string, dead, yes bool) (err error) {
	q, source, err := a.source(ctx, queue)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	purger, err := ability[drivers.Purger](source, "purge")
	if err != nil {
		return err
	}
	name, what := label(q, source.Capabilities()), "messages"
	if dead {
		what = "dead letters"
	}
	n := a.held(ctx, source, dead)
	if !yes {
		count := "all"
		if n != nil {
			count = fmt.Sprintf("%d", *n)
		}
		return usage("purge would remove %s %s of %s for good: give --yes to do it", count, what, name)
	}
	if err := purger.Purge(ctx, dead); err != nil {
		return err
	}
	if a.asJSON() {
		return a.printJSON(struct {
			Queue    string `json:"queue"`
			Dead     bool   `json:"dead"`
			Messages *int64 `json:"messages"` // as they were counted before
		}{name, dead, n})
	}
	if n == nil {
		return a.printf("purged the %s of %s\n", what, name)
	}
	return a.printf("purged %d %s of %s\n", *n, what, name)
}

// held counts what a purge removes; nil is not known.
func (a *app) held(ctx context.Context, source drivers.Source, dead bool) *int64 {
	inspector, ok := source.(drivers.Inspector)
	if !ok {
		return nil
	}
	d, err := inspector.Depth(ctx)
	if err != nil {
		a.log.Debug("the messages cannot be counted", "error", err)
		return nil
	}
	first, others := d.Visible, []int64{d.InFlight, d.Delayed}
	if dead {
		first, others = d.DeadLetters, nil
	}
	if first == drivers.Unknown {
		return nil
	}
	for _, n := range others {
		if n != drivers.Unknown { // Pub/Sub counts all of them as visible
			first += n
		}
	}
	return &first
}
