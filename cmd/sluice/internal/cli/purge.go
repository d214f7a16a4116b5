package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/noun"
)

// A purgeCommand removes all messages of a queue.
type purgeCommand struct {
	*app
	dead, yes bool
}

func newPurge(a *app) *cobra.Command {
	p := &purgeCommand{app: a}
	c := &cobra.Command{
		Use:   "purge QUEUE --yes",
		Short: "Remove all messages of a queue",
		Long: `Removes every message of the queue, or with --dead every letter of its dead-letter
queue. They cannot be restored. Without --yes it only reports what it would remove.`,
		Example: `  sluice purge orders
  sluice purge orders --dead --yes`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.run(cmd.Context(), args[0])
		},
	}
	c.Flags().BoolVar(&p.dead, "dead", false, "remove the dead letters, not the messages")
	c.Flags().BoolVar(&p.yes, "yes", false, "really do it")
	return c
}

func (p *purgeCommand) run(ctx context.Context, queue string) (err error) {
	q, source, err := p.openExisting(ctx, queue)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	purger, err := ability[drivers.Purger](source, "purge")
	if err != nil {
		return err
	}
	name, kind := label(q, source.Capabilities()), "message"
	if p.dead {
		kind = "dead letter"
	}
	n := p.held(ctx, source)
	what := "all " + kind + "s"
	if n != nil {
		what = noun.Counted(*n, kind)
	}
	if !p.yes {
		return usage("purge would remove %s of %s for good: give --yes to do it", what, name)
	}
	if err := purger.Purge(ctx, p.dead); err != nil {
		return err
	}
	return p.print(struct {
		Queue    string `json:"queue"`
		Dead     bool   `json:"dead"`
		Messages *int64 `json:"messages"` // as they were counted before
	}{name, p.dead, n}, "purged %s of %s\n", what, name)
}

// held counts what a purge removes; nil is not known.
func (p *purgeCommand) held(ctx context.Context, source drivers.Source) *int64 {
	inspector, ok := source.(drivers.Inspector)
	if !ok {
		return nil
	}
	d, err := inspector.Depth(ctx)
	if err != nil {
		p.log.Debug("the messages cannot be counted", "error", err)
		return nil
	}
	first, others := d.Visible, []int64{d.InFlight, d.Delayed}
	if p.dead {
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
