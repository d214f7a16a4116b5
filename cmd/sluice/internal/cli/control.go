package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/middleware/control"
	controlopen "github.com/sluice-go/sluice/middleware/control/open"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
)

// A controlCommand pauses, resumes or limits a queue, or lists who did.
type controlCommand struct {
	*app
	url, by, reason string

	// of limit
	concurrency int
	rate        string
	clear       bool
}

const whereControl = `
The state is kept in the control store: the one of --control or of service.control in the
configuration, or else beside the queue's idempotency store. Workers that are run by sluice
run or by package service obey it within five seconds, and after restarts. It holds for the
queue's name, or for its URL if it is given as one.`

func newPause(a *app) *cobra.Command {
	c := &controlCommand{app: a}
	cmd := &cobra.Command{
		Use:   "pause [QUEUE]",
		Short: "Have workers receive nothing from a queue, or list the queues with a state",
		Long: `Has all workers of a queue receive nothing, until sluice resume. Handlers that have begun
are finished; messages that were received and not begun are kept, and spend no attempt. A
paused worker is ready, and says in /readyz and /healthz that it is paused.

Without a QUEUE it lists the queues that are paused or limited, or were, with who changed
that last and when.
` + whereControl,
		Example: `  sluice pause orders --reason 'payment gateway is down'
  sluice pause`,
		Args:              atMost(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.list(cmd.Context())
			}
			return c.change(cmd.Context(), args[0], func(s *control.State, by control.Change) { s.Paused, s.Pause = true, by })
		},
	}
	c.add(cmd)
	return cmd
}

func newResume(a *app) *cobra.Command {
	c := &controlCommand{app: a}
	cmd := &cobra.Command{
		Use:   "resume QUEUE",
		Short: "End a pause",
		Long: `Has the workers of a queue that was paused receive again. Limits of sluice limit stay.
` + whereControl,
		Example:           `  sluice resume orders`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd.Context(), args[0], func(s *control.State, by control.Change) { s.Paused, s.Pause = false, by })
		},
	}
	c.add(cmd)
	return cmd
}

func newLimit(a *app) *cobra.Command {
	c := &controlCommand{app: a}
	cmd := &cobra.Command{
		Use:   "limit QUEUE (--concurrency N | --rate N/TIME | --clear)",
		Short: "Limit how fast workers handle the messages of a queue",
		Long: `Limits each worker of a queue to a number of concurrent handlers, to a rate, or both. A
limit that is not given stays as it is. The configuration's own limits hold too: a
concurrency above theirs changes nothing. --clear takes both limits away.
` + whereControl,
		Example: `  sluice limit orders --concurrency 4 --reason 'database migration'
  sluice limit orders --rate 50/s
  sluice limit orders --clear`,
		Args:              a.oneQueue,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.limit(cmd.Context(), args[0])
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&c.concurrency, "concurrency", 0, "run at most `N` handlers concurrently in each worker")
	fl.StringVar(&c.rate, "rate", "", "begin at most so many messages in a time in each worker, as `N/TIME`: 50/s, 5/10s")
	fl.BoolVar(&c.clear, "clear", false, "take the limits away")
	c.add(cmd)
	return cmd
}

// add adds the flags that all have.
func (c *controlCommand) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	controlVar(cmd, &c.url)
	fl.StringVar(&c.by, "by", "", "who asks for it, as `NAME` (default: this user and host)")
	fl.StringVar(&c.reason, "reason", "", "why, as `TEXT` that is shown with the state")
}

// controlVar adds the flag that names the control store.
func controlVar(cmd *cobra.Command, url *string) {
	cmd.Flags().StringVar(url, "control", "", "control store at `URL` (file, sqlite, postgres, redis) (default: service.control of the configuration, or beside the idempotency store)")
}

// limit changes the limits as the flags say.
func (c *controlCommand) limit(ctx context.Context, queue string) error {
	var rate config.Rate
	switch {
	case c.clear && (c.concurrency != 0 || c.rate != ""):
		return usage("limit: --clear excludes --concurrency and --rate")
	case !c.clear && c.concurrency == 0 && c.rate == "":
		return usage("limit: give --concurrency, --rate or --clear")
	case c.rate != "":
		var err error
		if rate, err = config.ParseRate(c.rate); err != nil {
			return usage("limit: --rate: %w", err)
		}
	}
	return c.change(ctx, queue, func(s *control.State, by control.Change) {
		s.Limit = by
		if c.clear {
			s.Concurrency, s.Rate, s.Per = 0, 0, 0
		}
		if c.concurrency != 0 {
			s.Concurrency = c.concurrency
		}
		if rate.N != 0 {
			s.Rate, s.Per = rate.N, rate.Per
		}
	})
}

// change changes the state of a queue and prints the new one.
func (c *controlCommand) change(ctx context.Context, queue string, change func(*control.State, control.Change)) (err error) {
	q, err := c.find(queue)
	if err != nil {
		return err
	}
	store, err := c.store(ctx, q)
	if err != nil {
		return err
	}
	defer closing(store, &err)
	by := control.Change{By: cmp.Or(c.by, whoami()), At: time.Now().UTC().Truncate(time.Second), Reason: c.reason}
	s, err := control.Update(ctx, store, q.Name, func(s *control.State) { change(s, by) })
	if err != nil {
		return err
	}
	return c.print(newControlResult(q.Name, s), "%s: %s\nworkers that read %s obey within 5s\n", q.Name, cmp.Or(s.String(), "neither paused nor limited"), store)
}

// list prints all states of the stores that the flag or the configuration names.
func (c *controlCommand) list(ctx context.Context) error {
	conf, err := c.config()
	if err != nil {
		return err
	}
	var queues []*config.Queue
	if c.url != "" || conf.Service().Control != "" {
		queues = append(queues, nil)
	} else {
		seen := make(map[string]bool)
		for _, q := range conf.Queues() {
			if i := q.Consumer; i != nil && i.Idempotency != nil && keepsControl(i.Idempotency.Store) && !seen[i.Idempotency.Store] {
				seen[i.Idempotency.Store] = true
				queues = append(queues, &q)
			}
		}
	}
	if len(queues) == 0 {
		return usage("pause: no queue of the configuration has a control store: set service.control to a URL, or give --control")
	}
	rows := [][]string{{"QUEUE", "STATE", "CONCURRENCY", "RATE", "PAUSED OR RESUMED", "LIMITED"}}
	var faults []error
	for _, q := range queues {
		states, err := c.read(ctx, q)
		faults = append(faults, err)
		for _, name := range slices.Sorted(maps.Keys(states)) {
			r := newControlResult(name, states[name])
			if c.asJSON() {
				if err := c.printJSON(r); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, r.row())
		}
	}
	if !c.asJSON() && len(rows) > 1 {
		if err := c.table(rows, layout{drop: []string{"LIMITED"}, names: []string{"QUEUE"}, texts: []string{"STATE", "PAUSED OR RESUMED"}}); err != nil {
			return err
		}
	}
	if fault := errors.Join(faults...); fault != nil || c.asJSON() || len(rows) > 1 {
		return fault
	}
	return c.printf("no queue is paused or limited\n")
}

// read returns all states of one store. A nil q stands for any queue.
func (c *controlCommand) read(ctx context.Context, q *config.Queue) (states map[string]control.State, err error) {
	store, err := c.store(ctx, q)
	if err != nil {
		return nil, err
	}
	defer closing(store, &err)
	return control.Read(ctx, store)
}

// store opens the control store of a queue.
func (c *controlCommand) store(ctx context.Context, q *config.Queue) (*control.Opened, error) {
	conf, err := c.config()
	if err != nil {
		return nil, err
	}
	switch url := cmp.Or(c.url, conf.Service().Control); {
	case url == config.Off:
		return nil, usage("service.control is off, so that no worker would obey: set it to a URL, or give --control")
	case url != "":
		return controlopen.URL(ctx, url)
	case q.Consumer == nil || q.Consumer.Idempotency == nil || !keepsControl(q.Consumer.Idempotency.Store):
		return nil, usage("queue %q has no control store: set service.control to the URL of a file or a database (file, sqlite, postgres, redis), or give --control here and to sluice run", q.Name)
	}
	store, err := open.URL(ctx, q.Consumer.Idempotency.Store)
	if err != nil {
		return nil, err
	}
	beside := store.ControlStore()
	if beside == nil {
		return nil, errors.Join(fmt.Errorf("queue %q: the idempotency store %s keeps no states of queues", q.Name, store), store.Close())
	}
	return &control.Opened{Store: beside, Closer: store}, nil
}

// keepsControl reports whether an idempotency store has a control store beside it.
func keepsControl(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite", "postgres", "postgresql", "redis", "rediss":
		return true
	default:
		return false
	}
}

// whoami names the user and the host.
func whoami() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return cmp.Or(name, "unknown")
	}
	return cmp.Or(name, "unknown") + "@" + host
}

// controlResult is the state of one queue.
type controlResult struct {
	Queue       string          `json:"queue"`
	Paused      bool            `json:"paused"`
	Concurrency *int            `json:"concurrency"`
	Rate        *string         `json:"rate"`
	Pause       *control.Change `json:"pause"` // the latest change, null if there was none
	Limit       *control.Change `json:"limit"`
}

func newControlResult(queue string, s control.State) controlResult {
	r := controlResult{Queue: queue, Paused: s.Paused}
	if s.Concurrency > 0 {
		r.Concurrency = &s.Concurrency
	}
	if s.Rate > 0 {
		text := config.Rate{N: s.Rate, Per: s.Per}.String()
		r.Rate = &text
	}
	if !s.Pause.At.IsZero() {
		r.Pause = &s.Pause
	}
	if !s.Limit.At.IsZero() {
		r.Limit = &s.Limit
	}
	return r
}

func (r controlResult) row() []string {
	state, concurrency, rate := "running", "-", "-"
	if r.Paused {
		state = "paused"
	}
	if r.Concurrency != nil {
		concurrency = strconv.Itoa(*r.Concurrency)
	}
	if r.Rate != nil {
		rate = *r.Rate
	}
	change := func(c *control.Change) string {
		if c == nil {
			return "-"
		}
		return c.String()
	}
	return []string{r.Queue, state, concurrency, rate, change(r.Pause), change(r.Limit)}
}
