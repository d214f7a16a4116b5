package cli

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/internal/lookonly"
	"github.com/sluice-go/sluice/internal/noun"
	"github.com/sluice-go/sluice/outbox"
)

// An outboxCommand shows the rows of the configuration's delay store, or makes its table.
type outboxCommand struct {
	*app
	rows      bool
	limit     int
	migration string
	migrate   bool
	discard   []string
	yes       bool
}

func newOutbox(a *app) *cobra.Command {
	o := &outboxCommand{app: a}
	c := &cobra.Command{
		Use:   "outbox [QUEUE...]",
		Short: "Show or discard the pending rows of the delay store, or make its table",
		Long: `Shows the messages that wait in the table that delay_store names, for each queue: due
(to be sent now), sending, delayed, retrying after a failure, and how many of them have
failed; and the age of the oldest that is due. Below are the rows whose latest attempt
failed, with the error. With --rows it lists the pending rows.

The age of the oldest due row grows while no relay runs, or while a queue refuses its
messages. Such rows are tried again, after up to 5 minutes, and never lost.

--discard deletes the row with an ID for good: of a message that its queue will never take,
because it is too large for it, and that holds back its group. Rows that a relay is sending
are left alone. The command refuses to do it unless --yes is given.

--migrate makes the table and its indexes if they do not exist. --migration prints the SQL
that does, for postgresql, sqlite or mysql, to be run by other means.`,
		Example: `  sluice outbox
  sluice outbox orders --rows --limit 10 -o json
  sluice outbox --discard 4QWZ… --yes
  sluice outbox --migrate
  sluice outbox --migration postgresql > 0007_outbox.sql`,
		Args:              a.someQueues,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args)
		},
	}
	fl := c.Flags()
	fl.BoolVar(&o.rows, "rows", false, "list the pending rows")
	fl.IntVar(&o.limit, "limit", 20, "list up to `N` rows")
	fl.StringVar(&o.migration, "migration", "", "print the SQL that makes the table, in the `DIALECT` postgresql, sqlite or mysql")
	fl.BoolVar(&o.migrate, "migrate", false, "make the table")
	fl.StringArrayVar(&o.discard, "discard", nil, "delete the row with this `ID` for good; repeatable")
	fl.BoolVar(&o.yes, "yes", false, "discard without asking")
	return c
}

func (o *outboxCommand) run(cmd *cobra.Command, queues []string) (err error) {
	given := 0
	for _, name := range []string{"rows", "migration", "migrate", "discard"} {
		if cmd.Flags().Changed(name) {
			given++
		}
	}
	switch {
	case given > 1:
		return usage("outbox: --rows, --migration, --migrate and --discard exclude each other")
	case (o.migration != "" || o.migrate || len(o.discard) > 0) && len(queues) > 0:
		return usage("outbox: --migration, --migrate and --discard are for the whole table, and a queue is given")
	case o.yes && len(o.discard) == 0:
		return usage("outbox: --yes is for --discard")
	case len(o.discard) > 0 && !o.yes:
		return usage("outbox would delete %s for good: give --yes to do it", noun.Counted(int64(len(o.discard)), "message"))
	case o.migration != "":
		return o.printMigration()
	}
	c, err := o.config()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if !o.migrate && len(o.discard) == 0 {
		ctx = lookonly.Context(ctx)
	}
	table, db, err := c.OpenTable(ctx)
	if err != nil {
		return opening(err)
	}
	defer closing(db, &err)
	switch {
	case o.migrate:
		if err := table.Migrate(ctx); err != nil {
			return err
		}
		o.log.Info("the table is there", "table", table.String())
		return nil
	case len(o.discard) > 0:
		return o.remove(ctx, table)
	case o.rows:
		return o.list(ctx, table, queues)
	default:
		return o.summarize(ctx, table, queues)
	}
}

// printMigration prints the SQL of a dialect. The table's name is the default, or that of the
// delay store if one is configured.
func (o *outboxCommand) printMigration() error {
	dialects := map[string]outbox.Dialect{
		"postgresql": outbox.PostgreSQL, "postgres": outbox.PostgreSQL, "sqlite": outbox.SQLite, "mysql": outbox.MySQL, "mariadb": outbox.MySQL,
	}
	d, ok := dialects[strings.ToLower(o.migration)]
	if !ok {
		return usage("outbox: --migration %s: it is postgresql, sqlite or mysql", o.migration)
	}
	c, err := o.config()
	if err != nil {
		return err
	}
	u, err := url.Parse(c.DelayStore())
	if err != nil {
		return usage("outbox: delay_store: malformed URL")
	}
	text := outbox.Migration(d, u.Query().Get("table"))
	if text == "" {
		return usage("outbox: delay_store: %q is not the name of a table", u.Query().Get("table"))
	}
	return o.printf("%s", text)
}

// outboxRow is a pending row. Absent times are in the past.
type outboxRow struct {
	Queue    string `json:"queue"`
	ID       string `json:"id"`
	DedupeID string `json:"dedupe_id"`
	Group    string `json:"group,omitempty"`
	Bytes    int    `json:"bytes"`
	Attempts int    `json:"attempts"`
	Due      string `json:"due,omitempty"`
	Next     string `json:"next,omitempty"`
	Sending  bool   `json:"sending,omitempty"`
	Error    string `json:"error,omitempty"`
}

func newOutboxRow(e outbox.Entry) outboxRow {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return outboxRow{
		Queue: e.Queue, ID: e.Message.ID, DedupeID: e.Message.DedupeID, Group: e.Message.Group, Bytes: len(e.Message.Body),
		Attempts: e.Message.Attempt, Due: stamp(e.Due), Next: stamp(e.Next), Sending: e.Leased, Error: e.Error,
	}
}

// list prints pending rows.
func (o *outboxCommand) list(ctx context.Context, table *outbox.Table, queues []string) error {
	entries, err := table.Pending(ctx, o.limit, queues...)
	if err != nil {
		return err
	}
	return o.printRows(entries)
}

func (o *outboxCommand) printRows(entries []outbox.Entry) error {
	rows := [][]string{{"QUEUE", "ID", "ATTEMPTS", "DUE", "NEXT", "ERROR"}}
	for _, e := range entries {
		r := newOutboxRow(e)
		if o.asJSON() {
			if err := o.printJSON(r); err != nil {
				return err
			}
			continue
		}
		next := r.Next
		if r.Sending {
			next = "sending"
		}
		dash := func(s string) string {
			if s == "" {
				return "-"
			}
			return s
		}
		rows = append(rows, []string{r.Queue, r.ID, strconv.Itoa(r.Attempts), dash(r.Due), dash(next), dash(oneLine(r.Error))})
	}
	if o.asJSON() {
		return nil
	}
	return o.table(rows, layout{drop: []string{"DUE", "ATTEMPTS", "NEXT"}, names: []string{"QUEUE", "ID"}, texts: []string{"ERROR"}})
}

// oneLine returns text without line breaks, which a table has no room for.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// outboxDiscarded is the result of --discard: the IDs of rows that were deleted, and of those
// that were not.
type outboxDiscarded struct {
	Discarded []string `json:"discarded"`
	Left      []string `json:"left"`
}

// remove discards rows. Those that it cannot discard are a failure, which it returns at the end.
func (o *outboxCommand) remove(ctx context.Context, table *outbox.Table) error {
	result := outboxDiscarded{Discarded: []string{}, Left: []string{}}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(o.discard))) {
		did, err := table.Discard(ctx, id)
		if err != nil {
			return err
		}
		if did {
			result.Discarded = append(result.Discarded, id)
		} else {
			result.Left = append(result.Left, id)
		}
	}
	if err := o.print(result, "discarded %s of the %s\n", noun.Counted(int64(len(result.Discarded)), "message"), table); err != nil || len(result.Left) == 0 {
		return err
	}
	return fmt.Errorf("outbox: no row of the %s with the ID %s is pending, or a relay is sending it just now: sluice outbox --rows shows which",
		table, strings.Join(result.Left, " or "))
}

// outboxQueue is the backlog of one queue.
type outboxQueue struct {
	Queue            string   `json:"queue"`
	Due              int64    `json:"due"`
	Sending          int64    `json:"sending"`
	Delayed          int64    `json:"delayed"`
	Retrying         int64    `json:"retrying"`
	Failing          int64    `json:"failing"`
	OldestAgeSeconds *float64 `json:"oldest_age_seconds"` // null if no row is due
}

func newOutboxQueue(b outbox.Backlog) outboxQueue {
	q := outboxQueue{Queue: b.Queue, Due: b.Due, Sending: b.Sending, Delayed: b.Delayed, Retrying: b.Retrying, Failing: b.Failing}
	if b.Oldest >= 0 {
		seconds := math.Round(b.Oldest.Seconds()*1000) / 1000
		q.OldestAgeSeconds = &seconds
	}
	return q
}

// summarize prints the counts of each queue, and the rows that fail.
func (o *outboxCommand) summarize(ctx context.Context, table *outbox.Table, queues []string) error {
	all, err := table.Backlog(ctx)
	if err != nil {
		return err
	}
	failing, err := table.Failing(ctx, o.limit, queues...)
	if err != nil {
		return err
	}
	rows := [][]string{{"QUEUE", "DUE", "SENDING", "DELAYED", "RETRYING", "FAILING", "OLDEST"}}
	result := struct {
		Table   string        `json:"table"`
		Queues  []outboxQueue `json:"queues"`
		Failing []outboxRow   `json:"failing"`
	}{table.String(), []outboxQueue{}, []outboxRow{}}
	for _, b := range all {
		if len(queues) > 0 && !slices.Contains(queues, b.Queue) {
			continue
		}
		result.Queues = append(result.Queues, newOutboxQueue(b))
		oldest := "-"
		if b.Oldest >= 0 {
			oldest = config.FormatDuration(b.Oldest.Round(time.Second))
		}
		row := []string{b.Queue}
		for _, n := range []int64{b.Due, b.Sending, b.Delayed, b.Retrying, b.Failing} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, append(row, oldest))
	}
	for _, e := range failing {
		result.Failing = append(result.Failing, newOutboxRow(e))
	}
	if o.asJSON() {
		return o.printJSON(result)
	}
	if len(rows) == 1 {
		o.log.Info("no row is pending", "table", result.Table)
		return nil
	}
	if err := o.app.table(rows, layout{drop: []string{"SENDING", "DELAYED"}, names: []string{"QUEUE"}}); err != nil || len(failing) == 0 {
		return err
	}
	if err := o.printf("\n"); err != nil {
		return err
	}
	return o.printRows(failing)
}
