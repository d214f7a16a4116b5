package cli

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/internal/noun"
)

// An archiveCommand moves old dead letters into a bucket.
type archiveCommand struct {
	*app
	filterFlags
	lookFlags
	olderThan time.Duration
}

func newArchive(a *app) *cobra.Command {
	r := &archiveCommand{app: a}
	c := &cobra.Command{
		Use:   "archive QUEUE URL",
		Short: "Move old dead letters into a bucket",
		Long: `Moves the dead letters of QUEUE that are older than --older-than, or all that are
selected, into the bucket at URL, before the queue's retention ends and they are lost. An
object has up to 1,000 letters, a JSON object a line, and its letters are deleted once it is
stored: a crash loses none, and leaves those of one object in both places at most. A
letter's age counts from when its message was enqueued, as retention does on a standard SQS
queue. "sluice redrive --from URL" brings letters back from there.

` + bucketHelp + `

` + filterHelp,
		Example: `  sluice archive orders --older-than 10d 's3://archive?region=us-east-1&prefix=orders/'
  sluice redrive orders --from 's3://archive?region=us-east-1&prefix=orders/'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0, 1:
				if err := a.oneQueue(cmd, args); err != nil {
					return err
				}
				return usage("no bucket given: give its URL, such as s3://archive?region=us-east-1")
			case 2:
				return nil
			default:
				return usage("unexpected argument %q after %q", args[2], args[1])
			}
		},
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd.Context(), args[0], args[1])
		},
	}
	r.filterFlags.add(c.Flags())
	r.lookFlags.add(c.Flags())
	durationVar(c.Flags(), &r.olderThan, "older-than", "only letters that are older")
	return c
}

func (r *archiveCommand) run(ctx context.Context, queue, url string) (err error) {
	if r.olderThan == 0 && !r.selects() {
		return usage("archive: give --older-than, or select letters")
	}
	filter, err := r.parse("archive", time.Now(), r.compile)
	if err != nil {
		return err
	}
	if r.olderThan > 0 {
		before, also := time.Now().Add(-r.olderThan), filter.Where
		filter.Where = func(l letters.Letter) bool {
			return l.Message.EnqueuedAt.Before(before) && (also == nil || also(l))
		}
	}
	if !config.IsURL(url) {
		return usage("archive: %s is not the URL of a bucket, such as s3://archive?region=us-east-1 or file:///var/archive", url)
	}
	to, err := openDepot(ctx, "archive", "URL", url)
	if err != nil {
		return err
	}
	defer closing(to, &err)
	at, source, err := r.open(ctx, r.app, queue, &filter)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	at.announce(r.log, "archiving dead letters")
	r.lookable(ctx, r.app, source)
	bar := newProgress(r.app, "archiving from "+at.Queue)
	done, err := letters.Archive(ctx, source, func(ctx context.Context, part []byte) error {
		_, err := to.write(ctx, nil, at.Queue, func(w io.Writer) error {
			_, err := w.Write(part)
			return err
		})
		return err
	}, &letters.Options{Filter: filter, SpendAttempts: r.spend, Progress: bar.letters})
	bar.done()
	r.warn(r.app, at.Queue, done.Hidden)
	if err != nil && done.Done == 0 {
		return err
	}
	if err == nil {
		r.short(r.app, at.Queue, &filter, 0, done.Seen, done.Matched)
	}
	err = cmp.Or(err, r.print(newExportResult(at, done, to.name),
		"archived %s of %s in %s\n", noun.Counted(done.Done, "dead letter"), at.Queue, to.name))
	if err == nil && r.olderThan == 0 {
		err = r.unfound("archive", done.Matched, 0, lettersOf(at.Queue))
	}
	return err
}
