package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

// A depthCommand counts the messages of queues.
type depthCommand struct {
	*app
	watch   time.Duration
	metrics string
}

func newDepth(a *app) *cobra.Command {
	d := &depthCommand{app: a}
	c := &cobra.Command{
		Use:   "depth [QUEUE...]",
		Short: "Count the messages of queues",
		Long: `Counts the messages of the given queues, or of all queues of the configuration that
can be received from: visible (ready to be received), in flight (being
handled), delayed, and dead letters. It also reports the age of the oldest message.
A count that the provider does not report is "?", or null in JSON. Providers count
approximately. On SQS the age comes from CloudWatch, a minute or more late, and needs
the permission cloudwatch:GetMetricStatistics.

With --metrics it serves the counts to Prometheus at /metrics until interrupted, for
queues whose consumers are scaled to zero or report elsewhere. Each scrape counts all
queues at the same time, at most once in ten seconds.`,
		Example: `  sluice depth orders
  sluice depth --watch 5s
  sluice depth orders events --watch 5s -o json
  sluice depth --metrics 9090`,
		Args:              a.namedQueues, // one that is given twice is two lines
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd.Context(), args)
		},
	}
	durationVar(c.Flags(), &d.watch, "watch", "count again and again, with this pause and with the time, until interrupted")
	addressVar(c.Flags(), &d.metrics, "metrics", "", "serve the counts to Prometheus at `ADDR` until interrupted; a port alone is on 127.0.0.1")
	return c
}

// depthResult is one queue's depth. A nil number is not known.
type depthResult struct {
	At               string   `json:"at,omitempty"` // of --watch
	Queue            string   `json:"queue"`
	Visible          *int64   `json:"visible"`
	InFlight         *int64   `json:"in_flight"`
	Delayed          *int64   `json:"delayed"`
	DeadLetters      *int64   `json:"dead_letters"`
	OldestAgeSeconds *float64 `json:"oldest_age_seconds"`
}

func newDepthResult(queue string, d drivers.Depth) depthResult {
	known := func(n int64) *int64 {
		if n == drivers.Unknown {
			return nil
		}
		return &n
	}
	r := depthResult{
		Queue: queue, Visible: known(d.Visible), InFlight: known(d.InFlight), Delayed: known(d.Delayed), DeadLetters: known(d.DeadLetters),
	}
	if d.OldestAge >= 0 {
		seconds := math.Round(d.OldestAge.Seconds()*1000) / 1000
		r.OldestAgeSeconds = &seconds
	}
	return r
}

func (r depthResult) row() []string {
	count := func(n *int64) string {
		if n == nil {
			return "?"
		}
		return strconv.FormatInt(*n, 10)
	}
	age := "?"
	if r.OldestAgeSeconds != nil {
		age = config.FormatDuration(time.Duration(*r.OldestAgeSeconds * float64(time.Second)).Round(time.Second))
	}
	return []string{r.Queue, count(r.Visible), count(r.InFlight), count(r.Delayed), count(r.DeadLetters), age}
}

// A counter counts one queue's messages. It has no source if its queue could not be opened.
type counter struct {
	name      string
	label     string
	source    drivers.Source
	inspector drivers.Inspector
}

func (d *depthCommand) run(ctx context.Context, queues []string) (err error) {
	if d.watch > 0 && d.metrics != "" {
		return usage("depth: --watch prints counts and --metrics serves them: give one of the two")
	}
	if len(queues) == 0 {
		if queues, err = d.all(); err != nil {
			return err
		}
	}
	for _, name := range queues {
		// Every name is looked up before anything is opened: a wrong one is a
		// fault of usage, and then nothing is done.
		if _, err := d.find(name); err != nil {
			return err
		}
	}
	var (
		counters []*counter
		missing  []string
		faults   []error
	)
	defer func() {
		for _, c := range counters {
			closing(c, &err)
		}
	}()
	for _, name := range queues {
		c, err := d.counter(ctx, name)
		if err != nil {
			c, missing, faults = &counter{name: name}, append(missing, name), append(faults, err)
		}
		counters = append(counters, c)
	}
	fault := errors.Join(faults...)
	switch {
	case exitCode(fault) == ExitUsage, len(missing) == len(counters):
		return fault
	case d.metrics != "":
		if fault != nil {
			d.complain(fault)
		}
		return newDepthExport(d.app, d.metrics, counters).run(ctx, missing)
	case d.watch > 0:
		return d.repeat(ctx, counters)
	default:
		return errors.Join(fault, d.count(ctx, counters))
	}
}

// all returns the names of all queues that can be received from.
func (d *depthCommand) all() ([]string, error) {
	c, err := d.config()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, q := range c.Queues() {
		if q.Source != "" {
			names = append(names, q.Name)
		}
	}
	if len(names) == 0 {
		return nil, usage("depth: no queue given%s", d.whatQueue())
	}
	return names, nil
}

// counter opens a queue for counting.
func (d *depthCommand) counter(ctx context.Context, name string) (*counter, error) {
	q, source, err := d.openExisting(ctx, name)
	if err != nil {
		return nil, err
	}
	inspector, err := ability[drivers.Inspector](source, "depth")
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return &counter{name, label(q, source.Capabilities()), source, inspector}, nil
}

func (c *counter) missing() bool { return c.source == nil }

// Close closes the source, if there is one.
func (c *counter) Close() error {
	if c.missing() {
		return nil
	}
	return c.source.Close()
}

// reopen opens the queues that are missing, and returns the errors of those that still are.
func (d *depthCommand) reopen(ctx context.Context, counters []*counter) error {
	var faults []error
	for _, c := range counters {
		if !c.missing() {
			continue
		}
		opened, err := d.counter(ctx, c.name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		*c = *opened
	}
	return errors.Join(faults...)
}

// count prints one round, of the queues that are open.
func (d *depthCommand) count(ctx context.Context, counters []*counter) error {
	var faults []error
	rows := [][]string{{"QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED", "DEAD LETTERS", "OLDEST"}}
	now := time.Now()
	if d.watch > 0 {
		rows[0] = append([]string{"TIME"}, rows[0]...)
	}
	for _, c := range counters {
		if c.missing() {
			continue
		}
		depth, err := drivers.ReadDepth(ctx, c.inspector)
		if err != nil {
			faults = append(faults, fmt.Errorf("depth of %s: %w", c.label, err))
			continue
		}
		r := newDepthResult(c.label, depth)
		if d.watch > 0 {
			r.At = now.UTC().Format(time.RFC3339)
		}
		if d.asJSON() {
			if err := d.printJSON(r); err != nil {
				return err
			}
			continue
		}
		row := r.row()
		if d.watch > 0 {
			row = append([]string{now.Format(time.TimeOnly)}, row...)
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		if d.redraws() {
			if err := d.printf("%s", clearScreen); err != nil {
				return err
			}
		}
		if err := d.table(rows, layout{short: map[string]string{"IN FLIGHT": "FLIGHT", "DEAD LETTERS": "DEAD"}, drop: []string{"DELAYED"}, names: []string{"QUEUE"}}); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// clearScreen moves a terminal's cursor to the top and clears what is below it.
const clearScreen = "\x1b[H\x1b[J"

// redraws reports whether each round takes the place of the one before.
func (d *depthCommand) redraws() bool {
	return d.watch > 0 && !d.asJSON() && terminal(d.out) && os.Getenv("TERM") != "dumb"
}

// repeat prints rounds until ctx is done. A round that fails is reported and not
// the end: an outage is what one watches for.
func (d *depthCommand) repeat(ctx context.Context, counters []*counter) error {
	tick := time.NewTicker(d.watch)
	defer tick.Stop()
	for {
		if err := errors.Join(d.reopen(ctx, counters), d.count(ctx, counters)); err != nil && ctx.Err() == nil {
			d.complain(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !d.asJSON() && !d.redraws() {
			if err := d.printf("\n"); err != nil {
				return err
			}
		}
	}
}
