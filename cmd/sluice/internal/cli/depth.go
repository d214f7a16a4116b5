package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

func (a *app) depthCommand() *cobra.Command {
	var watch time.Duration
	c := &cobra.Command{
		Use:   "depth QUEUE...",
		Short: "Count the messages of queues",
		Long: `Counts the messages of each queue: visible (ready to be received), in flight (being
handled), delayed, and dead letters. It also reports the age of the oldest message.
A count that the provider does not report is "?", or null in JSON. Providers count
approximately.`,
		Example: `  sluice depth orders
  sluice depth orders events --watch 5s -o json`,
		Args:              a.queueArgs(0),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("watch") && watch <= 0 {
				return usage("depth: --watch %v is not above zero", watch)
			}
			return a.depth(cmd.Context(), args, watch)
		},
	}
	durationVar(c.Flags(), &watch, "watch", "count again and again, with this pause, until interrupted")
	return c
}

// durationVar adds a flag that takes days and weeks as the configuration does.
func durationVar(f *pflag.FlagSet, d *time.Duration, name, about string) {
	f.Var(durationValue{d}, name, about)
}

// depthResult is one queue's depth. A nil number is not known.
type depthResult struct {
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

// A counter counts one queue's messages.
type counter struct {
	label     string
	source    drivers.Source
	inspector drivers.Inspector
}

func (a *app) depth(ctx context.Context, queues []string, watch time.Duration) (err error) {
	for _, name := range queues {
		// Every name is looked up before anything is opened: a wrong one is a
		// fault of usage, and then nothing is done.
		if _, err := a.queue(name); err != nil {
			return err
		}
	}
	var (
		counters []*counter
		faults   []error
	)
	defer func() {
		for _, c := range counters {
			closing(c.source, &err)
		}
	}()
	for _, name := range queues {
		c, err := a.counter(ctx, name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		counters = append(counters, c)
	}
	fault := errors.Join(faults...)
	switch {
	case exitCode(fault) == ExitUsage, len(counters) == 0, fault != nil && watch > 0:
		return fault
	case watch > 0:
		return a.watch(ctx, counters, watch)
	default:
		return errors.Join(fault, a.count(ctx, counters))
	}
}

func (a *app) counter(ctx context.Context, name string) (*counter, error) {
	q, source, err := a.source(ctx, name)
	if err != nil {
		return nil, err
	}
	inspector, err := ability[drivers.Inspector](source, "depth")
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return &counter{label(q, source.Capabilities()), source, inspector}, nil
}

// count prints one round.
func (a *app) count(ctx context.Context, counters []*counter) error {
	var faults []error
	rows := [][]string{{"QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED", "DEAD LETTERS", "OLDEST"}}
	for _, c := range counters {
		d, err := c.inspector.Depth(ctx)
		if err != nil {
			faults = append(faults, fmt.Errorf("depth of %s: %w", c.label, err))
			continue
		}
		r := newDepthResult(c.label, d)
		if a.asJSON() {
			if err := a.printJSON(r); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, r.row())
	}
	if len(rows) > 1 {
		if err := a.table(rows); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// watch prints rounds until ctx is done. A round that fails is reported and not
// the end: an outage is what one watches for.
func (a *app) watch(ctx context.Context, counters []*counter, pause time.Duration) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if err := a.count(ctx, counters); err != nil && ctx.Err() == nil {
			a.complain(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !a.asJSON() {
			if err := a.printf("\n"); err != nil {
				return err
			}
		}
	}
}
