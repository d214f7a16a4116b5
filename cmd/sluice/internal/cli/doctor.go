package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
)

// doctorFlags are doctor's flags.
type doctorFlags struct {
	json      bool
	tier      string
	watch     time.Duration
	p99       time.Duration
	heartbeat bool
	attempts  int
}

func (a *app) doctorCommand() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor [QUEUE...]",
		Short: "Find faults of queues",
		Long: `Examines the given queues, or all queues of the configuration, and reports their
faults as critical (jobs are being, or will be, lost or doubled), major or minor.
Each finding has the fact, the reason why it matters, and the command that mends it.
The exit status is 3 if there are findings and 0 if not.

With --watch it examines them repeatedly and reports findings that appear or
disappear.

On SQS and Pub/Sub it receives a few dead letters to learn their age, and gives them
back.`,
		Example: `  sluice doctor
  sluice doctor orders --tier major -o json
  sluice doctor orders --p99 45s            # from the metrics of the handlers
  sluice doctor --watch 1m`,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("watch") && f.watch <= 0 {
				return usage("doctor: --watch %v is not above zero", f.watch)
			}
			if cmd.Flags().Changed("max-attempts") && f.attempts < 1 {
				return usage("doctor: --max-attempts %d is below 1", f.attempts)
			}
			if f.json {
				a.format = formatJSON
			}
			return a.doctor(cmd.Context(), args, f)
		},
	}
	fs := c.Flags()
	fs.BoolVar(&f.json, "json", false, "the same as --output json")
	fs.StringVar(&f.tier, "tier", string(admin.Minor), "least `TIER` that counts: critical, major or minor")
	durationVar(fs, &f.watch, "watch", "look again and again, with this pause, until interrupted")
	durationVar(fs, &f.p99, "p99", "how long the slowest hundredth of the handlers take")
	fs.BoolVar(&f.heartbeat, "heartbeat", false, "the handlers have the heartbeat middleware")
	fs.IntVar(&f.attempts, "max-attempts", 0, "the handlers reject a message that failed `N` times")
	return c
}

// tiers are the severities from the gravest on.
var tiers = []admin.Severity{admin.Critical, admin.Major, admin.Minor}

func (a *app) doctor(ctx context.Context, names []string, f doctorFlags) error {
	least := slices.Index(tiers, admin.Severity(f.tier))
	if least < 0 {
		return usage("doctor: --tier %s: it is critical, major or minor", f.tier)
	}
	targets, err := a.targets(names, f)
	if err != nil {
		return err
	}
	if f.watch > 0 {
		return a.watchHealth(ctx, targets, least, f.watch)
	}
	found, err := a.examine(ctx, targets, least)
	for _, x := range found {
		if err := a.showFinding("", x); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return opening(err)
	case len(found) > 0:
		return errFindings
	case a.asJSON():
		return nil
	default:
		return a.printf("no findings: %s\n", sound(len(targets)))
	}
}

func sound(n int) string {
	if n == 1 {
		return "the queue is sound"
	}
	return fmt.Sprintf("%d queues are sound", n)
}

// targets are the queues to examine.
func (a *app) targets(names []string, f doctorFlags) ([]admin.Target, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	var queues []*config.Queue
	if len(names) == 0 {
		for _, q := range c.Queues() {
			queues = append(queues, &q)
		}
	}
	for _, n := range names {
		q, err := c.Queue(n)
		if err != nil {
			return nil, err
		}
		queues = append(queues, q)
	}
	if len(queues) == 0 {
		return nil, usage("doctor: no queue given%s", a.whatQueue())
	}
	var targets []admin.Target
	for _, q := range queues {
		if !q.Configured && f.attempts > 0 {
			return nil, usage("doctor: --max-attempts needs a queue of the configuration, and %s is given by its URL", q.Name)
		}
		if !q.Configured && f.p99 > 0 {
			return nil, usage("doctor: --p99 needs a queue of the configuration, and %s is given by its URL", q.Name)
		}
		t := target(q)
		t.Handlers = admin.Handlers{P99: f.p99, Heartbeat: f.heartbeat, MaxAttempts: f.attempts}
		targets = append(targets, t)
	}
	return targets, nil
}

func (a *app) examine(ctx context.Context, targets []admin.Target, least int) ([]admin.Finding, error) {
	found, err := admin.Examine(ctx, a.mux, targets)
	return slices.DeleteFunc(found, func(f admin.Finding) bool { return slices.Index(tiers, f.Severity) > least }), err
}

// watchHealth reports findings that appear and disappear until ctx is done.
func (a *app) watchHealth(ctx context.Context, targets []admin.Target, least int, pause time.Duration) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	known := make(map[string]admin.Finding)
	for {
		found, err := a.examine(ctx, targets, least)
		if ctx.Err() == nil {
			if err != nil {
				a.complain(err)
			}
			if err := a.changes(known, found, err == nil); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			if len(known) > 0 {
				return errFindings
			}
			return nil
		case <-tick.C:
		}
	}
}

// changes prints what was not known and what is gone. Where not every queue could
// be examined, nothing is taken to be gone.
func (a *app) changes(known map[string]admin.Finding, found []admin.Finding, complete bool) error {
	now := make(map[string]bool, len(found))
	for _, f := range found {
		key := f.Queue + "\x00" + f.ID
		now[key] = true
		if _, old := known[key]; !old {
			if err := a.showFinding("new", f); err != nil {
				return err
			}
		}
		known[key] = f
	}
	for key, f := range known {
		if complete && !now[key] {
			delete(known, key)
			if err := a.showFinding("resolved", f); err != nil {
				return err
			}
		}
	}
	return nil
}

// A shownFinding is a finding as JSON. Change is of --watch.
type shownFinding struct {
	Change string `json:"change,omitempty"`
	admin.Finding
	Command string `json:"command"`
}

func (a *app) showFinding(change string, f admin.Finding) error {
	if a.asJSON() {
		return a.printJSON(shownFinding{change, f, command(&f)})
	}
	heading := string(f.Severity)
	if colours(a.out) {
		colour := map[admin.Severity]string{admin.Critical: "31", admin.Major: "33", admin.Minor: "36"}[f.Severity]
		heading = "\x1b[" + colour + "m" + heading + "\x1b[0m"
	}
	if change != "" {
		heading = change + " " + heading
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s\n", heading, f.Queue, f.ID)
	if change == "resolved" {
		return a.printf("%s", b.String())
	}
	fmt.Fprintf(&b, "    fact:  %s\n    why:   %s\n    mend:  %s\n", f.Fact, f.Why, command(&f))
	return a.printf("%s", b.String())
}
