package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/internal/noun"
)

// A doctorCommand examines queues.
type doctorCommand struct {
	*app

	json      bool
	tier      string
	watch     time.Duration
	p99       time.Duration
	heartbeat bool
	attempts  int
	changed   func(flag string) bool // reports whether a flag was given
}

func newDoctor(a *app) *cobra.Command {
	d := &doctorCommand{app: a}
	c := &cobra.Command{
		Use:   "doctor [QUEUE...]",
		Short: "Find faults of queues",
		Long: `Examines the given queues, or all queues of the configuration, and reports their
faults as critical (jobs are being, or will be, lost or doubled), major or minor.
Each finding has the fact, the reason why it matters, and the command that mends it.
The exit status is 3 if there are findings and 0 if not.

With --watch it examines them repeatedly and reports findings that appear or
disappear.

It compares each queue with its handlers, as the section consumer of the configuration
describes them: p99, heartbeat and retry.max_attempts. --p99, --heartbeat and
--max-attempts win over it.

On SQS and Pub/Sub it receives a few dead letters to learn their age, and gives them
back.`,
		Example: `  sluice doctor
  sluice doctor orders --tier major -o json
  sluice doctor orders --p99 45s            # from the metrics of the handlers
  sluice doctor --watch 1m`,
		Args:              a.someQueues,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			if d.json {
				a.format = formatJSON
			}
			d.changed = cmd.Flags().Changed
			return d.run(cmd.Context(), args)
		},
	}
	fs := c.Flags()
	fs.BoolVar(&d.json, "json", false, "the same as --output json")
	fs.StringVar(&d.tier, "tier", string(admin.Minor), "least `TIER` that counts: critical, major or minor")
	durationVar(fs, &d.watch, "watch", "look again and again, with this pause, until interrupted")
	durationVar(fs, &d.p99, "p99", "how long the slowest hundredth of the handlers take")
	fs.BoolVar(&d.heartbeat, "heartbeat", false, "the handlers have the heartbeat middleware")
	fs.IntVar(&d.attempts, "max-attempts", 0, "the handlers reject a message that failed `N` times")
	return c
}

// tiers are the severities from the gravest on.
var tiers = []admin.Severity{admin.Critical, admin.Major, admin.Minor}

func (d *doctorCommand) run(ctx context.Context, names []string) error {
	least := slices.Index(tiers, admin.Severity(d.tier))
	if least < 0 {
		return usage("doctor: --tier %s: it is critical, major or minor", d.tier)
	}
	targets, err := d.targets(names)
	if err != nil {
		return err
	}
	if d.watch > 0 {
		return d.repeat(ctx, targets, least)
	}
	found, err := d.examine(ctx, targets, least)
	for _, x := range found {
		if err := d.showFinding("", x); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return opening(err)
	case len(found) > 0:
		return errFindings
	case d.asJSON():
		return nil
	default:
		return d.printf("no findings: %s\n", sound(len(targets)))
	}
}

func sound(n int) string {
	if n == 1 {
		return "the queue is sound"
	}
	return noun.Counted(n, "queue") + " are sound"
}

// handlers describes the handlers of a queue, by the flags and by its section consumer
// as far as they say nothing.
func (d *doctorCommand) handlers(q *config.Queue) admin.Handlers {
	h := admin.Handlers{P99: d.p99, Heartbeat: d.heartbeat, MaxAttempts: d.attempts}
	if c := q.Consumer; c != nil {
		h.P99 = cmp.Or(h.P99, c.P99)
		h.MaxAttempts = cmp.Or(h.MaxAttempts, q.Retries().MaxAttempts)
		if !d.changed("heartbeat") {
			h.Heartbeat = c.Heartbeat
		}
	}
	return h
}

// targets are the queues to examine.
func (d *doctorCommand) targets(names []string) ([]admin.Target, error) {
	c, err := d.config()
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
		q, err := d.find(n)
		if err != nil {
			return nil, err
		}
		queues = append(queues, q)
	}
	if len(queues) == 0 {
		return nil, usage("doctor: no queue given%s", d.whatQueue())
	}
	var targets []admin.Target
	for _, q := range queues {
		if !q.Configured && d.attempts > 0 {
			return nil, usage("doctor: --max-attempts needs a queue of the configuration, and %s is given by its URL", q.Name)
		}
		if !q.Configured && d.p99 > 0 {
			return nil, usage("doctor: --p99 needs a queue of the configuration, and %s is given by its URL", q.Name)
		}
		t := target(q)
		t.Handlers = d.handlers(q)
		targets = append(targets, t)
	}
	return targets, nil
}

func (d *doctorCommand) examine(ctx context.Context, targets []admin.Target, least int) ([]admin.Finding, error) {
	tally := newTally(d.app, "doctor", len(targets))
	found, err := (&admin.Fleet{Mux: d.mux, Targets: targets, Progress: tally.show}).Examine(ctx)
	tally.clear()
	return slices.DeleteFunc(found, func(f admin.Finding) bool { return slices.Index(tiers, f.Severity) > least }), err
}

// repeat reports findings that appear and disappear until ctx is done.
func (d *doctorCommand) repeat(ctx context.Context, targets []admin.Target, least int) error {
	tick := time.NewTicker(d.watch)
	defer tick.Stop()
	known := make(map[string]admin.Finding)
	for {
		found, err := d.examine(ctx, targets, least)
		if ctx.Err() == nil {
			if err != nil {
				d.complain(err)
			}
			if err := d.changes(known, found, err == nil); err != nil {
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
func (d *doctorCommand) changes(known map[string]admin.Finding, found []admin.Finding, complete bool) error {
	now := make(map[string]bool, len(found))
	for _, f := range found {
		key := f.Queue + "\x00" + f.ID
		now[key] = true
		if _, old := known[key]; !old {
			if err := d.showFinding("new", f); err != nil {
				return err
			}
		}
		known[key] = f
	}
	for key, f := range known {
		if complete && !now[key] {
			delete(known, key)
			if err := d.showFinding("resolved", f); err != nil {
				return err
			}
		}
	}
	return nil
}

// findingIndent is the column at which the parts of a finding begin.
const findingIndent = len("    fact:  ")

// A shownFinding is a finding as JSON. Change is of --watch.
type shownFinding struct {
	Change string `json:"change,omitempty"`
	admin.Finding
	Command string `json:"command"`
	Note    string `json:"note,omitempty"` // on the command
}

func (d *doctorCommand) showFinding(change string, f admin.Finding) error {
	mend, note := adviser{d.app}.mend(&f)
	if d.asJSON() {
		return d.printJSON(shownFinding{change, f, mend, note})
	}
	if note != "" {
		mend += " (" + note + ")"
	}
	heading := string(f.Severity)
	if colours(d.out) {
		colour := map[admin.Severity]string{admin.Critical: "31", admin.Major: "33", admin.Minor: "36"}[f.Severity]
		heading = "\x1b[" + colour + "m" + heading + "\x1b[0m"
	}
	if change != "" {
		heading = change + " " + heading
	}
	var b strings.Builder
	apart, width := "  ", columns(d.out)
	if plain := strings.Join([]string{change, string(f.Severity), f.Queue, f.ID}, "  "); width > 0 && textWidth(plain) > width {
		apart = "\n    "
	}
	fmt.Fprintf(&b, "%s  %s%s%s\n", heading, f.Queue, apart, f.ID)
	if change == "resolved" {
		return d.printf("%s", b.String())
	}
	// The command stays on one line, to be pasted.
	fmt.Fprintf(&b, "    fact:  %s\n    why:   %s\n    mend:  %s\n",
		folded(f.Fact, findingIndent, findingIndent, width), folded(f.Why, findingIndent, findingIndent, width), mend)
	return d.printf("%s", b.String())
}
