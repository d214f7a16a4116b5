package timetable

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/outbox"
)

// A schedule whose time has passed without a message is late, and one that a relay runs is
// not, right after its time either.
func TestWhatIsSaidOfASchedule(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 25, 12, 0, 30, 0, time.UTC)
	s := &outbox.Schedule{Name: "nightly", Cron: "30 2 * * *", Zone: "Europe/Berlin", Queue: "reports"}
	said := Line{Schedule: "nightly", Times: "30 2 * * *", Zone: "Europe/Berlin", Queue: "reports", Next: "2026-10-26T02:30:00+01:00"}
	for name, c := range map[string]struct {
		clock  *outbox.Clock
		change func(l *Line)
	}{
		"not begun": {nil, func(l *Line) { l.Note = "no relay has run it" }},
		"begun":     {&outbox.Clock{Last: now.Add(-time.Hour)}, func(*Line) {}},
		"on time": {&outbox.Clock{Last: time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), Messages: 7}, func(l *Line) {
			l.Last, l.Count = "2026-10-25T02:30:00+02:00", 7
		}},
		"ahead": {&outbox.Clock{Last: time.Date(2026, 10, 28, 1, 30, 0, 0, time.UTC), Messages: 7}, func(l *Line) {
			l.Last, l.Count, l.Next = "2026-10-28T02:30:00+01:00", 7, "2026-10-29T02:30:00+01:00"
			l.Note = "stands still until 2026-10-28T02:30:00+01:00: its latest time is ahead of the clock"
		}},
		"late": {&outbox.Clock{Last: time.Date(2026, 10, 23, 0, 30, 0, 0, time.UTC), Messages: 5}, func(l *Line) {
			l.Last, l.Count, l.Note = "2026-10-23T02:30:00+02:00", 5, "late since 2026-10-24T02:30:00+02:00"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := said
			c.change(&want)
			got, err := lineOf(s, c.clock, now)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
	often, err := lineOf(&outbox.Schedule{Name: "often", Every: time.Minute, Queue: "q"}, &outbox.Clock{Last: now.Add(-30 * time.Second), Messages: 1}, now)
	require.NoError(t, err)
	require.Equal(t, Line{Schedule: "often", Times: "every 1m", Queue: "q", Count: 1, Last: "2026-10-25T12:00:00Z", Next: "2026-10-25T12:01:00Z"}, often)
}
