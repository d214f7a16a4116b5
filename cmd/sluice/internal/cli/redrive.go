package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// redriveFlags are the flags of redrive.
type redriveFlags struct {
	attributes  []string
	ids         []string
	source      string
	since       string
	rate        int
	max         int
	maxRedrives int
	dryRun      bool
	noWait      bool
}

func (a *app) redriveCommand() *cobra.Command {
	var f redriveFlags
	c := &cobra.Command{
		Use:   "redrive QUEUE",
		Short: "Bring dead letters back to their queue",
		Long: `Brings the dead letters of QUEUE back to it; their attempts start again. Without a
filter the provider itself moves them if it can (SQS: a message move task; the
embedded queue). The command shows the progress, and watches a task that is already
running. Ctrl-C cancels the task; moved messages stay moved.

With a filter (--attr, --id, --source, --max) or --max-redrives, and on Pub/Sub, the
command moves letters one by one: it sends a letter first and deletes it afterwards. A
crash loses none and doubles at most one batch (10 letters on SQS, up to 100
elsewhere). Letters that do not match stay invisible for up to ten minutes. A letter
that was brought back --max-redrives times stays in the dead-letter queue, because it
would only return.

--since replays acknowledged messages (Pub/Sub, if the subscription retains them):
everything that was published since then is delivered again.`,
		Example: `  sluice redrive orders
  sluice redrive orders --attr tenant=acme --max 100 --dry-run
  sluice redrive orders --id 7d2f… --id 81aa…
  sluice redrive orders --rate 50 --no-wait -o json`,
		Args:              a.queueArgs(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch given := cmd.Flags().Changed("max-redrives"); {
			case !given:
				f.maxRedrives = 0 // the default, for which no native redrive is given up
			case f.maxRedrives == 0:
				return usage("redrive: --max-redrives 0 would bring nothing back")
			}
			return a.redrive(cmd.Context(), args[0], f)
		},
	}
	fs := c.Flags()
	fs.StringArrayVar(&f.attributes, "attr", nil, "only letters with this attribute, as `KEY=VALUE`; repeatable, all must match")
	fs.StringArrayVar(&f.ids, "id", nil, "only the letter with this `ID`; repeatable")
	fs.StringVar(&f.source, "source", "", "only letters that came from this `QUEUE`, of a dead-letter queue that serves several")
	fs.StringVar(&f.since, "since", "", "replay what was published since this `TIME` (RFC 3339, or a duration back, such as 2h), acked or not")
	fs.IntVar(&f.rate, "rate", 0, "at most `N` messages a second")
	fs.IntVar(&f.max, "max", 0, "at most `N` letters")
	fs.IntVar(&f.maxRedrives, "max-redrives", redrive.DefaultMaxRedrives, "leave a letter that was brought back `N` times; negative: no limit")
	fs.BoolVar(&f.dryRun, "dry-run", false, "show what would be brought back, and bring nothing back")
	fs.BoolVar(&f.noWait, "no-wait", false, "start the provider's own redrive and do not wait for its end")
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
	Refused int64  `json:"refused,omitempty"`
	Failed  int64  `json:"failed,omitempty"`
	Doubled int64  `json:"doubled,omitempty"`
	// Task is of a native redrive that goes on.
	Task   string `json:"task,omitempty"`
	Status string `json:"status,omitempty"`
}

func (f *redriveFlags) options() (*redrive.Options, error) {
	o := &redrive.Options{IDs: f.ids, Source: f.source, Rate: f.rate, Max: f.max, MaxRedrives: f.maxRedrives, DryRun: f.dryRun, Detach: f.noWait}
	for _, pair := range f.attributes {
		k, v, ok := strings.Cut(pair, "=")
		if !ok || k == "" {
			return nil, usage("redrive: --attr %s is not KEY=VALUE", pair)
		}
		if o.Attributes == nil {
			o.Attributes = make(map[string]string)
		}
		o.Attributes[k] = v
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"rate", f.rate}, {"max", f.max}} {
		if n.value < 0 {
			return nil, usage("redrive: --%s %d is below zero", n.name, n.value)
		}
	}
	if f.noWait && (len(f.attributes) > 0 || len(f.ids) > 0 || f.source != "" || f.max > 0 || f.maxRedrives > 0 || f.dryRun) {
		return nil, usage("redrive: --no-wait goes with the provider's own redrive, which has no filter")
	}
	return o, nil
}

func (a *app) redrive(ctx context.Context, queue string, f redriveFlags) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	q, source, err := a.source(ctx, queue)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	name := label(q, source.Capabilities())
	if o.Source, err = a.origin(ctx, f.source, queue, source); err != nil {
		return err
	}
	if f.since != "" {
		return a.replay(ctx, name, source, f)
	}
	if f.dryRun {
		o.Found = func(m *handler.Message) {
			if err := a.showLetter(m); err != nil {
				a.log.Error("cannot write", "error", err)
			}
		}
	}
	bar := a.progress("redriving "+name, drivers.Unknown)
	o.Progress = func(r redrive.Result) { bar.set(r.Moved, r.Total) }
	r, err := redrive.Run(ctx, source, o)
	bar.done()
	if r.Mode == "" {
		return err
	}
	if fault := a.redriven(name, f, r); fault != nil && err == nil {
		err = fault
	}
	return err
}

// origin is what dead letters call the queue that --source names, by its name in
// the configuration, its URL, or what the provider calls it.
func (a *app) origin(ctx context.Context, given, queue string, source drivers.Source) (_ string, err error) {
	if given == "" {
		return "", nil
	}
	if given == queue {
		return source.Capabilities().Queue, nil
	}
	c, err := a.config()
	if err != nil {
		return "", err
	}
	if !config.IsURL(given) && !slices.Contains(c.Names(), given) {
		return given, nil
	}
	_, other, err := a.source(ctx, given)
	if err != nil {
		return "", err
	}
	defer closing(other, &err)
	return other.Capabilities().Queue, nil
}

// redriven prints what a redrive did, even if it failed on the way.
func (a *app) redriven(name string, f redriveFlags, r redrive.Result) error {
	if r.Hidden {
		a.log.Warn("letters of an ordered queue that were not wanted stood before others of their group: those were not looked at", "queue", name)
	}
	if r.Doubled > 0 {
		a.log.Warn("letters were sent back and could not be deleted: they are in both queues", "queue", name, "letters", r.Doubled)
	}
	out := redriveResult{Queue: name, Moved: r.Moved, Mode: string(r.Mode), DryRun: f.dryRun, Refused: r.Refused, Failed: r.Failed, Doubled: r.Doubled}
	if f.dryRun {
		out.Moved, out.Would = 0, &r.Moved
	}
	if r.Mode == redrive.Selective {
		out.Seen = &r.Seen
	} else {
		out.Task, out.Status = r.Task.ID, string(r.Task.Status)
	}
	if a.asJSON() {
		return a.printJSON(out)
	}
	switch {
	case f.dryRun:
		return a.printf("%d of %d dead letters of %s would be brought back\n", r.Moved, r.Seen, name)
	case f.noWait && r.Task.Status == deadletter.Running:
		return a.printf("bringing the dead letters of %s back; it goes on at the provider\n", name)
	case r.Refused > 0:
		return a.printf("brought %d dead letters of %s back (%s); %d were brought back too often before and stay\n", r.Moved, name, r.Mode, r.Refused)
	default:
		return a.printf("brought %d dead letters of %s back (%s)\n", r.Moved, name, r.Mode)
	}
}

func (a *app) showLetter(m *handler.Message) error {
	p := newPeeked(m, true, defaultBodyLimit)
	if a.asJSON() {
		return a.printJSON(p)
	}
	reason := p.Reason
	if reason == "" {
		reason = "attempts used up"
	}
	return a.printf("%s  %s\n", printable(m.ID), printable(reason))
}

// replay goes back in time.
func (a *app) replay(ctx context.Context, name string, source drivers.Source, f redriveFlags) error {
	if len(f.attributes) > 0 || len(f.ids) > 0 || f.source != "" || f.max > 0 || f.rate > 0 || f.noWait {
		return usage("redrive: --since replays everything, and goes with no filter")
	}
	at, err := parseSince(f.since, time.Now())
	if err != nil {
		return err
	}
	replayer, err := ability[deadletter.Replayer](source, "replay")
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.printf("everything published to %s since %s would be delivered again\n", name, at.Format(time.RFC3339))
	}
	if err := replayer.Replay(ctx, at); err != nil {
		return err
	}
	if a.asJSON() {
		return a.printJSON(struct {
			Queue string    `json:"queue"`
			Mode  string    `json:"mode"`
			Since time.Time `json:"since"`
		}{name, "replay", at.UTC()})
	}
	return a.printf("everything published to %s since %s is delivered again\n", name, at.Format(time.RFC3339))
}

func parseSince(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	var d time.Duration
	if err := (durationValue{&d}).Set(s); err != nil || d <= 0 {
		return time.Time{}, usage("redrive: --since %s is neither a time such as %s nor a duration such as 2h", s, fmt.Sprint(now.UTC().Format(time.RFC3339)))
	}
	return now.Add(-d), nil
}
