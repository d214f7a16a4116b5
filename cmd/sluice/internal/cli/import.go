package cli

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/internal/noun"
)

// An importCommand brings exported letters into a dead-letter queue.
type importCommand struct {
	*app
	filterFlags
	from string
	max  int
}

func newImport(a *app) *cobra.Command {
	i := &importCommand{app: a}
	c := &cobra.Command{
		Use:   "import QUEUE",
		Short: "Bring exported letters into a dead-letter queue",
		Long: `Sends the letters of an export or an archive to the dead-letter queue of QUEUE, where they
are dead letters with their reasons and attempts as before. It reads stdin, or with
--from a file or all objects below a bucket's prefix. "sluice redrive --from" sends
them to QUEUE itself instead.

A letter keeps its identity. If the command fails on the way, the letters before the
fault are in the queue, and another import sends them again.

` + bucketHelp + `

` + filterHelp,
		Example: `  sluice import orders < letters.jsonl
  sluice import orders --from 's3://incidents?region=us-east-1&prefix=4711/' --kind refund`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return i.run(cmd.Context(), args[0])
		},
	}
	i.filterFlags.add(c.Flags())
	c.Flags().StringVar(&i.from, "from", "", "read this `FILE` or bucket's URL; - is stdin")
	c.Flags().IntVar(&i.max, "max", 0, "at most `N` letters")
	return c
}

func (i *importCommand) run(ctx context.Context, queue string) (err error) {
	filter, err := i.parse("import", time.Now(), i.compile)
	if err != nil {
		return err
	}
	from, err := openDepot(ctx, "import", "--from", i.from)
	if err != nil {
		return err
	}
	defer closing(from, &err)
	at, source, err := i.open(ctx, i.app, queue, &filter)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	at.announce(i.log, "importing dead letters")
	bar := newProgress(i.app, "importing into "+at.Queue)
	done, err := letters.Import(ctx, source, from.records(ctx, i.in), &letters.Options{Filter: filter, Max: i.max, Progress: bar.letters})
	bar.done()
	i.warn(i.app, at.Queue, done.Hidden)
	if err != nil && done.Done == 0 {
		return err
	}
	return cmp.Or(err, i.print(newExportResult(at, done, from.String()),
		"imported %s into the dead-letter queue of %s\n", noun.Counted(done.Done, "dead letter"), at.Queue),
		i.unfound("import", done.Matched, i.max, from.String()))
}
