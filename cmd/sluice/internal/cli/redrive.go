package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/noun"
)

// A redriveCommand brings dead letters back.
type redriveCommand struct {
	*app
	filterFlags
	lookFlags

	replaySince string
	rate        int
	max         int
	maxRedrives int
	dryRun      bool
	noWait      bool
	from        string
	canary      int
	canaryWait  time.Duration
	canaryQuiet time.Duration
}

func newRedrive(a *app) *cobra.Command {
	r := &redriveCommand{app: a}
	c := &cobra.Command{
		Use:   "redrive QUEUE",
		Short: "Bring dead letters back to their queue",
		Long: `Brings the dead letters of QUEUE back to it; their attempts start again. Without a
filter the provider itself moves them if it can (SQS: a message move task; the
embedded queue). The command shows the progress, and watches a task that is already
running. Ctrl-C cancels the task; moved messages stay moved.

With a filter, --max or --max-redrives, and on Pub/Sub, the
command moves letters one by one: it sends a letter first and deletes it afterwards. A
crash loses none and doubles at most one batch (10 letters on SQS, up to 100
elsewhere). Letters that do not match stay invisible for up to ten minutes. A letter
that was brought back --max-redrives times stays in the dead-letter queue, because it
would only return.

` + filterHelp + `

--canary sends so many letters first and waits until they are acked, at most --canary-wait;
then it brings the others back. A consumer must be running. If one of the first becomes a
dead letter again, the others stay and the exit status is 3; if they are neither acked nor
back in time, it is 1. On SQS and Pub/Sub, which cannot be asked for one message, they
are acked when the queue counts as empty for --canary-quiet and none is a dead letter.

--from sends the letters of an export or an archive, a file or all objects below a bucket's
prefix, and leaves the dead-letter queue alone. They remain in the archive.

--dry-run looks at all letters and counts those that would be brought back. It warns of those
that are past the time that their sender set, as every redrive but the provider's own does:
by default consumers drop such a message.

--replay replays acknowledged messages (Pub/Sub, if the subscription retains them):
everything that was published since then is delivered again.`,
		Example: `  sluice redrive orders
  sluice redrive orders --attr tenant=acme --max 100 --dry-run
  sluice redrive orders --id 7d2f… --id 81aa…
  sluice redrive orders --reason '*timeout*' --since 2h
  sluice redrive orders --group g3f9a2c1b --canary 5
  sluice redrive orders --from 's3://archive?region=us-east-1&prefix=orders/' --since 2026-11-01
  sluice redrive orders --rate 50 --no-wait -o json`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("max-redrives") {
				r.maxRedrives = 0 // the default, for which no native redrive is given up
			}
			return r.run(cmd.Context(), args[0])
		},
	}
	fs := c.Flags()
	r.filterFlags.add(fs)
	r.lookFlags.add(fs)
	fs.StringVar(&r.replaySince, "replay", "", "replay what was published since this `TIME` (RFC 3339, or a duration back, such as 2h), acked or not")
	fs.IntVar(&r.rate, "rate", 0, "at most `N` messages a second")
	fs.IntVar(&r.max, "max", 0, "at most `N` letters")
	fs.IntVar(&r.maxRedrives, "max-redrives", redrive.DefaultMaxRedrives, "leave a letter that was brought back `N` times; negative: no limit")
	allow(fs, mayBeNegative, "max-redrives")
	fs.BoolVar(&r.dryRun, "dry-run", false, "show what would be brought back, and bring nothing back")
	fs.StringVar(&r.from, "from", "", "send the letters of this `FILE` or bucket's URL, an export or an archive; - is stdin")
	fs.IntVar(&r.canary, "canary", 0, "send `N` letters first, and the others once these are acked")
	durationVar(fs, &r.canaryWait, "canary-wait", "wait this long for the first letters to be acked (default 10m)")
	durationVar(fs, &r.canaryQuiet, "canary-quiet", "the queue must count as empty for this long (default: 1m on SQS, 5m on Pub/Sub)")
	fs.BoolVar(&r.noWait, "no-wait", false, "start the provider's own redrive and do not wait for its end")
	return c
}

// redriveResult is the last line of redrive's JSON.
type redriveResult struct {
	Queue   string `json:"queue"`
	Moved   int64  `json:"moved"`
	Mode    string `json:"mode"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Would   *int64 `json:"would_move,omitempty"`
	Seen    *int64 `json:"seen,omitempty"`
	Matched *int64 `json:"matched,omitempty"`
	Refused int64  `json:"refused,omitempty"`
	Failed  int64  `json:"failed,omitempty"`
	Doubled int64  `json:"doubled,omitempty"`
	// Expired is how many letters are past the time that their sender set. A native redrive
	// looks at none.
	Expired int64 `json:"expired,omitempty"`
	// Canaries is the number of letters that were sent first, Returned of those that are
	// letters again.
	Canaries int64 `json:"canaries,omitempty"`
	Returned int   `json:"returned,omitempty"`
	// Task is of a native redrive that goes on.
	Task   string `json:"task,omitempty"`
	Status string `json:"status,omitempty"`
	place
}

func (r *redriveCommand) options() (*redrive.Options, error) {
	if r.noWait && (r.selects() || r.max > 0 || r.maxRedrives > 0 || r.dryRun) {
		return nil, usage("redrive: --no-wait goes with the provider's own redrive, which has no filter")
	}
	switch {
	case r.canary == 0 && (r.canaryWait > 0 || r.canaryQuiet > 0):
		return nil, usage("redrive: --canary-wait and --canary-quiet go with --canary")
	case r.canary > 0 && (r.noWait || r.dryRun || r.from != "" || r.replaySince != ""):
		return nil, usage("redrive: --canary goes with none of --no-wait, --dry-run, --from and --replay")
	case r.from != "" && (r.noWait || r.replaySince != ""):
		return nil, usage("redrive: --from goes with neither --no-wait nor --replay")
	}
	filter, err := r.parse("redrive", time.Now(), r.compile)
	return &redrive.Options{Filter: filter, Rate: r.rate, Max: r.max, MaxRedrives: r.maxRedrives, DryRun: r.dryRun, Detach: r.noWait, SpendAttempts: r.spend}, err
}

func (r *redriveCommand) run(ctx context.Context, queue string) (err error) {
	o, err := r.options()
	if err != nil {
		return err
	}
	from, err := openDepot(ctx, "redrive", "--from", r.from)
	if err != nil {
		return err
	}
	defer closing(from, &err)
	at, source, err := r.open(ctx, r.app, queue, &o.Filter)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	name := at.Queue
	at.announce(r.log, "redriving dead letters")
	if r.replaySince != "" {
		return r.replay(ctx, name, source)
	}
	if r.canary > 0 || r.selects() || r.max > 0 || r.maxRedrives > 0 || r.dryRun {
		r.lookable(ctx, r.app, source) // otherwise the provider moves them by itself, or the scan refuses
	}
	expired := int64(0)
	o.Found = func(m *handler.Message) {
		if at, ok := m.Expires(); ok && !at.After(time.Now()) {
			expired++
		}
		if !r.dryRun {
			return
		}
		if err := r.showLetter(m); err != nil {
			r.log.Error("cannot write", "error", err)
		}
	}
	bar := newProgress(r.app, "redriving "+name)
	o.Progress = func(done redrive.Result) { bar.set(done.Moved, done.Total) }
	var (
		done redrive.Result
		out  = redriveResult{Queue: at.Queue, place: at}
	)
	switch {
	case r.from != "":
		done, err = redrive.From(ctx, source, from.records(ctx, r.in), o)
	case r.canary > 0:
		var first redrive.Canaries
		first, done, err = redrive.Canary(ctx, source, o, &redrive.CanaryOptions{Letters: r.canary, Wait: r.canaryWait, Quiet: r.canaryQuiet, Tried: func(sent redrive.Result) {
			r.log.Info("sent the first letters back: waiting for them to be acked", "queue", name, "letters", sent.Moved)
		}})
		out.Canaries, out.Returned = first.Sent.Moved, len(first.Returned)
		err = r.reportCanaries(name, first, err)
	default:
		done, err = redrive.Run(ctx, source, o)
		if most := r.max; err == nil && done.Mode != redrive.Native {
			if r.dryRun {
				most = 0 // it looks at all
			}
			r.short(r.app, name, &o.Filter, most, done.Seen, done.Matched)
		}
	}
	bar.done()
	r.warn(r.app, name, done.Hidden)
	if out.Expired = expired; expired > 0 {
		r.log.Warn("letters are past the time that their sender set: by default consumers drop such a message; sluice edit can change its attribute "+handler.AttributeExpires,
			"queue", name, "letters", expired)
	}
	if done.Mode == "" || err != nil && done.Moved+done.Seen == 0 {
		return err
	}
	if fault := r.report(out, done); fault != nil && err == nil {
		err = fault
	}
	if err == nil {
		where := lettersOf(name)
		if r.from != "" {
			where = from.String()
		}
		err = r.unfound("redrive", done.Matched, r.max, where)
	}
	return err
}

// reportCanaries reports the letters that returned, and returns the error of the command.
func (r *redriveCommand) reportCanaries(name string, first redrive.Canaries, err error) error {
	if !errors.Is(err, redrive.ErrReturned) {
		return err
	}
	for _, l := range first.Returned {
		r.log.Error("a letter that was sent back is a dead letter again", "queue", name, "message", l.Message.ID, "reason", l.Reason)
	}
	r.log.Error("the other letters stay", "queue", name, "returned", len(first.Returned), "sent", first.Sent.Moved)
	return errFindings
}

// report prints what a redrive did, even if it failed on the way.
func (r *redriveCommand) report(out redriveResult, done redrive.Result) error {
	name := out.Queue
	if done.Doubled > 0 {
		r.log.Warn("letters were sent back and could not be deleted: they are in both queues", "queue", name, "letters", done.Doubled)
	}
	out.Moved, out.Mode, out.DryRun = done.Moved, string(done.Mode), r.dryRun
	out.Refused, out.Failed, out.Doubled = done.Refused, done.Failed, done.Doubled
	if r.dryRun {
		out.Moved, out.Would, out.Matched = 0, &done.Moved, &done.Matched
	}
	if done.Mode != redrive.Native {
		out.Seen = &done.Seen
	} else {
		out.Task, out.Status = done.Task.ID, string(done.Task.Status)
	}
	if r.asJSON() {
		return r.printJSON(out)
	}
	switch {
	case r.dryRun:
		also := ""
		if done.Matched > done.Moved {
			also = fmt.Sprintf(" (%d match)", done.Matched)
		}
		return r.printf("%d of %s of %s would be brought back%s\n", done.Moved, noun.Counted(done.Seen, "dead letter"), name, also)
	case r.noWait && done.Task.Status == deadletter.Running:
		return r.printf("bringing the dead letters of %s back; it goes on at the provider\n", name)
	case out.Returned > 0:
		return r.printf("brought %s of %s back first (%s); %d of them became dead letters again, and the others stay\n",
			noun.Counted(done.Moved, "dead letter"), name, done.Mode, out.Returned)
	case done.Refused > 0:
		return r.printf("brought %s of %s back (%s); left %d that had come back too often\n",
			noun.Counted(done.Moved, "dead letter"), name, done.Mode, done.Refused)
	default:
		return r.printf("brought %s of %s back (%s)\n", noun.Counted(done.Moved, "dead letter"), name, done.Mode)
	}
}

func (r *redriveCommand) showLetter(m *handler.Message) error {
	l := letters.Of(m)
	return r.print(newPeekedLetter(l, defaultBodyLimit), "%s  %s\n", printable(m.ID), printable(l.Reason))
}

// replayResult is the JSON of --replay.
type replayResult struct {
	Queue  string    `json:"queue"`
	Mode   string    `json:"mode"`
	Since  time.Time `json:"since"`
	DryRun bool      `json:"dry_run,omitempty"`
}

// replay goes back in time.
func (r *redriveCommand) replay(ctx context.Context, name string, source drivers.Source) error {
	if r.selects() || r.max > 0 || r.rate > 0 || r.noWait {
		return usage("redrive: --replay replays everything, and goes with no filter")
	}
	at, err := parseTime("redrive", "replay", r.replaySince, time.Now())
	if err != nil {
		return err
	}
	replayer, err := ability[deadletter.Replayer](source, "replay")
	if err != nil {
		return err
	}
	if r.dryRun { // only the seek itself finds out whether the provider has kept it
		return r.print(replayResult{name, "replay", at.UTC(), true},
			"everything published to %s since %s would be delivered again, if the provider retains it\n", name, at.Format(time.RFC3339))
	}
	if err := replayer.Replay(ctx, at); err != nil {
		return err
	}
	return r.print(replayResult{name, "replay", at.UTC(), false}, "everything published to %s since %s is delivered again\n", name, at.Format(time.RFC3339))
}
