package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/cmd/sluice/internal/timetable"
	"github.com/sluice-go/sluice/internal/lookonly"
	"github.com/sluice-go/sluice/internal/noun"
)

// A schedulesCommand lists the configuration's schedules.
type schedulesCommand struct{ *app }

func newSchedules(a *app) *cobra.Command {
	s := &schedulesCommand{a}
	c := &cobra.Command{
		Use:   "schedules",
		Short: "List the schedules with their last and next times, or run one now",
		Long: `Lists the schedules of the configuration and of the table that delay_store names: when
each had its latest time, when the next comes, and how many times it has had. A
schedule whose next time has passed by more than a minute is late: no relay runs it. One
that is in the table only was removed from the configuration, or belongs to another.`,
		Example: `  sluice schedules
  sluice schedules run nightly-report`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), time.Now())
		},
	}
	c.AddCommand(newScheduleRun(a))
	return c
}

func (s *schedulesCommand) run(ctx context.Context, now time.Time) (err error) {
	c, err := s.config()
	if err != nil {
		return err
	}
	if len(c.Schedules()) == 0 && c.DelayStore() == "" {
		s.log.Info("no schedule is configured, and no delay_store")
		return nil
	}
	ctx = lookonly.Context(ctx)
	table, db, err := c.OpenTable(ctx)
	if err != nil {
		return opening(err)
	}
	defer closing(db, &err)
	clocks, err := table.Clocks(ctx)
	if err != nil {
		return err
	}
	lines, err := timetable.Lines(c.Schedules(), clocks, now)
	if err != nil {
		return err
	}
	return s.print(lines)
}

func (s *schedulesCommand) print(lines []timetable.Line) error {
	rows := [][]string{{"SCHEDULE", "TIMES", "ZONE", "QUEUE", "LAST", "NEXT", "COUNT", "NOTE"}}
	for _, r := range lines {
		if s.asJSON() {
			if err := s.printJSON(r); err != nil {
				return err
			}
			continue
		}
		row := []string{r.Schedule, r.Times, r.Zone, r.Queue, r.Last, r.Next, noun.Counted(r.Count, "time"), r.Note}
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		rows = append(rows, row)
	}
	if s.asJSON() {
		return nil
	}
	return s.table(rows, layout{drop: []string{"ZONE", "COUNT", "LAST", "QUEUE", "TIMES"}, names: []string{"SCHEDULE", "QUEUE"}, texts: []string{"TIMES", "NOTE"}})
}
