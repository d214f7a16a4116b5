package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/internal/nearest"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/producer"
)

// A scheduleRunCommand sends the message of a schedule now.
type scheduleRunCommand struct{ *app }

func newScheduleRun(a *app) *cobra.Command {
	s := &scheduleRunCommand{a}
	return &cobra.Command{
		Use:   "run NAME",
		Short: "Send the message of a schedule now",
		Long: `Sends the message of a schedule to its queue now, and prints its ID. It is a message
beside those of the schedule's own times, with an identity of its own: the next time comes
as it would have. The message's attribute scheduled-at is the present.`,
		Example: `  sluice schedules run nightly-report`,
		Args:    s.oneSchedule,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return s.names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd.Context(), args[0])
		},
	}
}

// oneSchedule accepts one schedule.
func (s *scheduleRunCommand) oneSchedule(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usage("no schedule given")
	case 1:
		return nil
	default:
		return usage("unexpected argument %q after %q", args[1], args[0])
	}
}

// names are the names of the configured schedules.
func (s *scheduleRunCommand) names() []string {
	c, err := s.config()
	if err != nil {
		return nil
	}
	var names []string
	for _, one := range c.Schedules() {
		names = append(names, one.Name)
	}
	return names
}

func (s *scheduleRunCommand) run(ctx context.Context, name string) (err error) {
	c, err := s.config()
	if err != nil {
		return err
	}
	all := c.Schedules()
	i := slices.IndexFunc(all, func(one outbox.Schedule) bool { return one.Name == name })
	if i < 0 {
		if n := nearest.Of(name, s.names()); n != "" {
			return usage("schedules: unknown schedule %q: did you mean %q?", name, n)
		}
		known := s.names()
		if len(known) == 0 {
			return usage("schedules: unknown schedule %q: the configuration has no schedules", name)
		}
		return usage("schedules: unknown schedule %q (known: %s)", name, strings.Join(known, ", "))
	}
	m := all[i].MessageAt(time.Now())
	m.DedupeID = name + "/now/" + rand.Text()
	_, sink, err := s.openSink(ctx, all[i].Queue)
	if err != nil {
		return err
	}
	p, err := producer.New(sink, &producer.Config{Logger: s.log})
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer closing(p, &err)
	if err := p.Send(ctx, m); err != nil {
		return sendFault(err)
	}
	return printID(s.app, m.ID)
}
