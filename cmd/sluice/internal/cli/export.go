package cli

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/internal/noun"
)

// bucketHelp is of the URLs of buckets, in the help of each command that has them.
const bucketHelp = `A bucket's URL is that of --claim-check: s3://B?region=R, gs://B (with the tag
sluice_gcs) or file:///DIR; &prefix=P begins its keys.`

// An exportCommand writes dead letters to a file or a bucket.
type exportCommand struct {
	*app
	filterFlags
	lookFlags
	to  string
	max int
}

func newExport(a *app) *cobra.Command {
	e := &exportCommand{app: a}
	c := &cobra.Command{
		Use:   "export QUEUE",
		Short: "Write dead letters to a file or a bucket",
		Long: `Writes the dead letters of QUEUE that are selected to stdout, or with --to to a file that
does not exist, or to a new object in a bucket: a JSON object a line, with all that a
letter has except the types of SQS's attributes. The letters remain in the queue.
"sluice import" and "sluice redrive --from" read them.

` + bucketHelp + `

` + filterHelp,
		Example: `  sluice export orders > letters.jsonl
  sluice export orders --kind refund --to 's3://incidents?region=us-east-1&prefix=4711/'`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.run(cmd.Context(), args[0])
		},
	}
	e.filterFlags.add(c.Flags())
	e.lookFlags.add(c.Flags())
	c.Flags().StringVar(&e.to, "to", "", "write to this `FILE` or bucket's URL; - is stdout")
	c.Flags().IntVar(&e.max, "max", 0, "at most `N` letters")
	return c
}

// exportResult is the JSON of export, import and archive.
type exportResult struct {
	Queue   string `json:"queue"`
	Letters int64  `json:"letters"`
	Seen    int64  `json:"seen"`
	At      string `json:"at"` // the file, the bucket, or the stream
	place
}

func newExportResult(at place, done letters.Result, where string) exportResult {
	return exportResult{Queue: at.Queue, place: at, Letters: done.Done, Seen: done.Seen, At: where}
}

func (e *exportCommand) run(ctx context.Context, queue string) (err error) {
	filter, err := e.parse("export", time.Now(), e.compile)
	if err != nil {
		return err
	}
	to, err := openDepot(ctx, "export", "--to", e.to)
	if err != nil {
		return err
	}
	defer closing(to, &err)
	at, source, err := e.open(ctx, e.app, queue, &filter)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	at.announce(e.log, "exporting dead letters")
	e.lookable(ctx, e.app, source)
	bar := newProgress(e.app, "exporting from "+at.Queue)
	var done letters.Result
	where, err := to.write(ctx, e.out, at.Queue, func(w io.Writer) (err error) {
		done, err = letters.Export(ctx, source, w, &letters.Options{
			Filter: filter, Max: e.max, SpendAttempts: e.spend, Progress: bar.letters,
		})
		return err
	})
	bar.done()
	e.warn(e.app, at.Queue, done.Hidden)
	if err != nil {
		return err
	}
	e.short(e.app, at.Queue, &filter, e.max, done.Seen, done.Matched)
	if to.name == "" { // stdout has the letters
		e.log.Info("exported dead letters", "queue", at.Queue, "letters", done.Done, "seen", done.Seen)
	} else {
		err = e.print(newExportResult(at, done, where), "exported %s of %s to %s\n", noun.Counted(done.Done, "dead letter"), at.Queue, where)
	}
	return cmp.Or(err, e.unfound("export", done.Matched, e.max, lettersOf(at.Queue)))
}
