package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/noun"
)

// A discardCommand deletes dead letters.
type discardCommand struct {
	*app
	filterFlags
	lookFlags
	max         int
	yes, dryRun bool
}

func newDiscard(a *app) *cobra.Command {
	d := &discardCommand{app: a}
	c := &cobra.Command{
		Use:   "discard QUEUE",
		Short: "Delete dead letters for good",
		Long: `Deletes the dead letters of QUEUE that are selected, or all of them. They cannot be
restored; "sluice archive" keeps them elsewhere.

On a terminal the command shows what it would delete, by cause, and asks for the queue's
name. It then deletes only letters that it has shown. Without a terminal it refuses
unless --yes is given. --dry-run shows and deletes nothing.

` + filterHelp,
		Example: `  sluice discard orders --group g3f9a2c1b
  sluice discard orders --id 7d2f… --yes
  sluice discard orders --kind test --dry-run`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd.Context(), args[0])
		},
	}
	d.filterFlags.add(c.Flags())
	d.lookFlags.add(c.Flags())
	c.Flags().IntVar(&d.max, "max", 0, "at most `N` letters")
	c.Flags().BoolVar(&d.yes, "yes", false, "delete without asking")
	c.Flags().BoolVar(&d.dryRun, "dry-run", false, "show what would be deleted, and delete nothing")
	return c
}

// discardResult is discard's JSON.
type discardResult struct {
	Queue     string `json:"queue"`
	Discarded int64  `json:"discarded"`
	Would     *int64 `json:"would_discard,omitempty"`
	Seen      int64  `json:"seen"`
	Matched   *int64 `json:"matched,omitempty"`
	DryRun    bool   `json:"dry_run,omitempty"`
	place
}

func (d *discardCommand) run(ctx context.Context, queue string) (err error) {
	filter, err := d.parse("discard", time.Now(), d.compile)
	if err != nil {
		return err
	}
	asks := terminal(d.in) && terminal(d.err)
	if !d.yes && !d.dryRun && !asks {
		return usage("discard would delete letters of %s for good, and there is no terminal to ask on: give --yes to do it, or --dry-run to see which", queue)
	}
	at, source, err := d.open(ctx, d.app, queue, &filter)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	at.announce(d.log, "discarding dead letters")
	d.lookable(ctx, d.app, source)
	o := &letters.Options{Filter: filter, Max: d.max, SpendAttempts: d.spend}
	if d.dryRun {
		o.Max = 0 // the totals are of all letters
		done, ids, err := d.preview(ctx, at.Queue, source, o)
		if err != nil {
			return err
		}
		would, also := int64(len(ids)), ""
		if done.Matched > would {
			also = fmt.Sprintf(" (%d match)", done.Matched)
		}
		return cmp.Or(d.print(discardResult{Queue: at.Queue, place: at, Would: &would, Seen: done.Seen, Matched: &done.Matched, DryRun: true},
			"%d of %s of %s would be discarded%s\n", would, noun.Counted(done.Seen, "dead letter"), at.Queue, also),
			d.unfound("discard", done.Matched, d.max, lettersOf(at.Queue)))
	}
	var unfound error
	if !d.yes {
		done, ids, err := d.preview(ctx, at.Queue, source, o)
		if err != nil {
			return err
		}
		unfound = d.unfound("discard", done.Matched, d.max, lettersOf(at.Queue))
		if done.Done == 0 {
			return cmp.Or(d.printf("no dead letter of %s matches\n", at.Queue), unfound)
		}
		if err := confirm(ctx, d.app, fmt.Sprintf("delete %s for good", noun.Counted(done.Done, "dead letter")), at); err != nil {
			return err
		}
		// A letter that has come since was not shown.
		o = &letters.Options{Filter: letters.Filter{Where: func(l letters.Letter) bool { return ids[l.Message.ID] }}, Max: len(ids), SpendAttempts: d.spend}
	}
	bar := newProgress(d.app, "discarding from "+at.Queue)
	o.Progress = bar.letters
	done, err := letters.Discard(ctx, source, o)
	bar.done()
	d.warn(d.app, at.Queue, done.Hidden)
	if err != nil && done.Seen == 0 {
		return err
	}
	if d.yes && err == nil {
		d.short(d.app, at.Queue, &o.Filter, d.max, done.Seen, done.Matched)
	}
	if d.yes { // else the preview knows, and what it has shown is gone by now
		unfound = d.unfound("discard", done.Matched, d.max, lettersOf(at.Queue))
	}
	return cmp.Or(err, d.print(discardResult{Queue: at.Queue, place: at, Discarded: done.Done, Seen: done.Seen},
		"discarded %s of %s\n", noun.Counted(done.Done, "dead letter"), at.Queue), unfound)
}

// preview shows by cause what would be deleted, at most --max letters, and returns the
// message IDs.
func (d *discardCommand) preview(ctx context.Context, name string, source drivers.Source, o *letters.Options) (letters.Result, map[string]bool, error) {
	var groups letters.Groups
	ids := make(map[string]bool)
	done, err := letters.Each(ctx, source, o, func(l letters.Letter) error {
		if d.max == 0 || len(ids) < d.max {
			groups.Add(l)
			ids[l.Message.ID] = true
		}
		return nil
	})
	d.warn(d.app, name, done.Hidden)
	if err == nil {
		d.short(d.app, name, &o.Filter, o.Max, done.Seen, done.Matched)
	}
	if err != nil || d.asJSON() || done.Done == 0 {
		return done, ids, err
	}
	return done, ids, showGroups(d.app, groups.Sorted())
}

// confirm asks the person at the terminal for the queue's name.
func confirm(ctx context.Context, a *app, what string, at place) error {
	if _, err := fmt.Fprintf(a.err, "%s: this would %s.\nType the queue's name, %s, to do it: ", at, what, at.Queue); err != nil {
		return err
	}
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // a read from a terminal can't be ended; the process ends soon
		line, err := bufio.NewReader(a.in).ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case got := <-answers:
		if strings.TrimSpace(got.line) != at.Queue {
			return usage("not confirmed: nothing was done")
		}
		return nil
	}
}
