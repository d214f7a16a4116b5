package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/noun"
)

// A lettersCommand shows dead letters by their causes.
type lettersCommand struct {
	*app
	filterFlags
	showFlags
	lookFlags
	number int
}

func newLetters(a *app) *cobra.Command {
	l := &lettersCommand{app: a}
	c := &cobra.Command{
		Use:   "letters QUEUE",
		Short: "Show dead letters by cause",
		Long: `Groups the dead letters of QUEUE by kind and by reason. Reasons that differ only in
numbers, IDs, UUIDs, hexadecimal numbers, quoted text, addresses, times or durations are
one. A number after a word such as "status" or "code" counts. For each group it shows the
number of letters, how often they were attempted, the first and the last failure, and the
latest reason.

A group is known by its ID, which is the same at any time and in any queue. With --group
the command lists the group's letters, as do --id and -v. A number N, the place in the
list, does as well, but letters that arrive change it: other commands take the ID only.

` + filterHelp + `

SQS and Pub/Sub have no way to look at letters without receiving them: they are out of
sight until the command ends, and for up to ten minutes if it is killed. That spends no
attempt of the messages. ` + lookHelp,
		Example: `  sluice letters orders
  sluice letters orders --since 2h --where 'attributes.tenant == "acme"'
  sluice letters orders --group g3f9a2c1b -v
  sluice letters orders -o json`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.run(cmd.Context(), args[0])
		},
	}
	l.filterFlags.add(c.Flags())
	l.showFlags.add(c.Flags())
	l.lookFlags.add(c.Flags())
	c.Flags().IntVarP(&l.number, "number", "n", 0, "list at most `N` letters of a group (default: all)")
	return c
}

// groupShown is a group in JSON.
type groupShown struct {
	Group       string     `json:"group"`
	Count       int64      `json:"count"`
	Kind        string     `json:"kind,omitempty"`
	Pattern     string     `json:"pattern"`
	First       *time.Time `json:"first_failed"` // nil if it is not known
	Last        *time.Time `json:"last_failed"`
	MinAttempts *int       `json:"min_attempts"`
	MaxAttempts *int       `json:"max_attempts"`
	ExampleID   string     `json:"example_id"`
	Example     string     `json:"example"`
}

func (l *lettersCommand) run(ctx context.Context, queue string) (err error) {
	place := 0
	if len(l.groups) == 1 {
		if n, err := strconv.Atoi(l.groups[0]); err == nil && n > 0 {
			place, l.groups = n, nil
		}
	}
	filter, err := l.parse("letters", time.Now(), l.compile)
	if err != nil {
		return err
	}
	at, source, err := l.open(ctx, l.app, queue, &filter)
	if err != nil {
		return err
	}
	defer closing(source, &err)
	l.lookable(ctx, l.app, source)
	name := at.Queue
	listing := place > 0 || len(l.groups) > 0 || len(l.ids) > 0 || l.verbose
	if listing && place == 0 {
		return l.list(ctx, name, source, filter)
	}
	groups, done, err := l.collect(ctx, name, source, filter)
	if err != nil {
		return err
	}
	if place == 0 {
		return l.show(name, groups, done)
	}
	if place > len(groups) {
		return fmt.Errorf("letters: --group %d: %s has %s", place, name, noun.Counted(len(groups), "group"))
	}
	filter.Groups = []string{groups[place-1].ID}
	return l.list(ctx, name, source, filter)
}

// collect groups the letters.
func (l *lettersCommand) collect(ctx context.Context, name string, source drivers.Source, filter letters.Filter) ([]letters.Group, letters.Result, error) {
	var groups letters.Groups
	bar := newProgress(l.app, "reading the dead letters of "+name)
	done, err := letters.Each(ctx, source, &letters.Options{
		Filter: filter, SpendAttempts: l.spend, Progress: func(r letters.Result) { bar.set(r.Seen, drivers.Unknown) },
	}, func(letter letters.Letter) error {
		groups.Add(letter)
		return nil
	})
	bar.done()
	l.warn(l.app, name, done.Hidden)
	if err == nil {
		l.short(l.app, name, &filter, 0, done.Seen, done.Matched)
	}
	return groups.Sorted(), done, err
}

// show prints groups.
func (l *lettersCommand) show(name string, groups []letters.Group, done letters.Result) error {
	if l.asJSON() {
		for _, g := range groups {
			if err := l.printJSON(newGroupShown(g)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := showGroups(l.app, groups); err != nil {
		return err
	}
	total := noun.Counted(done.Matched, "dead letter")
	if done.Matched != done.Seen {
		total = fmt.Sprintf("%d of %s", done.Matched, noun.Counted(done.Seen, "dead letter"))
	}
	total = fmt.Sprintf("%s of %s in %s", total, name, noun.Counted(len(groups), "group"))
	return l.printf("%s\n", folded(total, 0, 0, columns(l.out)))
}

// showGroups prints a table of groups.
func showGroups(a *app, groups []letters.Group) error {
	if len(groups) == 0 {
		return nil
	}
	rows := [][]string{{"#", "GROUP", "COUNT", "KIND", "ATTEMPTS", "FIRST", "LAST", "LATEST REASON"}}
	for i, g := range groups {
		rows = append(rows, []string{
			strconv.Itoa(i + 1), g.ID, strconv.FormatInt(g.Count, 10), orDash(printable(g.Kind)), span(g.MinAttempts, g.MaxAttempts),
			shortTime(g.First), shortTime(g.Last), shortened(printable(g.Example), reasonWidth),
		})
	}
	return a.table(rows, layout{short: map[string]string{"LATEST REASON": "REASON"}, drop: []string{"FIRST", "ATTEMPTS", "KIND", "LAST"}, texts: []string{"KIND", "LATEST REASON"}})
}

func newGroupShown(g letters.Group) groupShown {
	s := groupShown{Group: g.ID, Count: g.Count, Kind: g.Kind, Pattern: g.Pattern, First: timeShown(g.First), Last: timeShown(g.Last),
		ExampleID: g.ExampleID, Example: g.Example}
	if g.MaxAttempts > 0 {
		s.MinAttempts, s.MaxAttempts = &g.MinAttempts, &g.MaxAttempts
	}
	return s
}

// list prints letters.
func (l *lettersCommand) list(ctx context.Context, name string, source drivers.Source, filter letters.Filter) error {
	shown := newShower(l.app, l.showFlags)
	done, err := letters.Each(ctx, source, &letters.Options{Filter: filter, Max: l.number, SpendAttempts: l.spend}, func(letter letters.Letter) error {
		return shown.add(letter, newPeekedLetter(letter, l.body))
	})
	l.warn(l.app, name, done.Hidden)
	if err == nil {
		l.short(l.app, name, &filter, l.number, done.Seen, done.Matched)
	}
	if err == nil && done.Done == 0 {
		l.log.Info("no dead letter matches", "queue", name, "seen", done.Seen)
	}
	if fault := shown.flush(); err == nil {
		err = fault
	}
	return err
}
