package outbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
)

// The rules for daylight saving time, on both changes of Berlin and one of Lord Howe, whose
// change is half an hour.
func TestTimesAcrossDaylightSaving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cron, zone, from string
		want                   []string
	}{
		{"a fixed time in the gap moves to its end", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"two fixed times in the gap are one", "0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"a fixed time that comes twice counts once", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"from between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T02:45:00+02:00", []string{"2026-10-26T02:30:00+01:00"}},
		{"from the second pass", "50 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", []string{"2026-10-26T02:50:00+01:00"}},
		{"each hour, in spring", "0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00+01:00",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		{"each hour, in autumn", "0 * * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"each quarter, in autumn", "*/15 * * * *", "Europe/Berlin", "2026-10-25T02:40:00+02:00",
			[]string{"2026-10-25T02:45:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:15:00+01:00"}},
		{"half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"seconds", "30 0 0 * * *", "", "2026-01-01T00:00:00Z", []string{"2026-01-01T00:00:30Z", "2026-01-02T00:00:30Z"}},
		{"a tag", "@weekly", "", "2026-11-29T14:00:00Z", []string{"2026-12-06T00:00:00Z"}},
		{"leap days", "0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.from)
			require.NoError(t, err)
			s := outbox.Schedule{Name: "s", Queue: "q", Cron: c.cron, Zone: c.zone}
			require.NoError(t, s.Check())
			var got []string
			for range c.want {
				at, err = s.Next(at)
				require.NoError(t, err)
				got = append(got, at.Format(time.RFC3339))
			}
			require.Equal(t, c.want, got)
		})
	}
}

// Over years and zones: times go on, fixed ones come once a day, hourly ones once an hour.
func TestTimesGoOn(t *testing.T) {
	t.Parallel()
	years, days, hours := 4, 1461, 24*366
	if testing.Short() { // the race detector takes half a millisecond for a time
		years, days, hours = 1, 366, 24*100 // zones change their offset once
	}
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "America/St_Johns"} {
		loc, err := time.LoadLocation(zone)
		require.NoError(t, err)
		daily := outbox.Schedule{Name: "s", Queue: "q", Cron: "30 2 * * *", Zone: zone}
		at := time.Date(2016, 1, 1, 0, 0, 0, 0, loc)
		n := 0
		for end := at.AddDate(years, 0, 0); ; n++ {
			next, err := daily.Next(at)
			require.NoError(t, err)
			require.True(t, next.After(at))
			require.Less(t, next.Sub(at), 26*time.Hour, "%s after %v", zone, at)
			if at = next; !at.Before(end) {
				break
			}
		}
		require.Equal(t, days, n, zone)
		hourly := outbox.Schedule{Name: "s", Queue: "q", Cron: "0 * * * *", Zone: zone}
		at = time.Date(2026, 1, 1, 0, 0, 0, 0, loc)
		for range hours {
			next, err := hourly.Next(at)
			require.NoError(t, err)
			gap := next.Sub(at)
			require.True(t, gap == time.Hour || (zone == "Australia/Lord_Howe" && (gap == 30*time.Minute || gap == 90*time.Minute)), "%s after %v: %v", zone, at, gap)
			at = next
		}
	}
}

func TestAnIntervalCountsFrom1970(t *testing.T) {
	t.Parallel()
	s := outbox.Schedule{Name: "s", Queue: "q", Every: 15 * time.Minute}
	at, err := s.Next(time.Date(2026, 1, 1, 12, 15, 0, 0, time.UTC))
	require.NoError(t, err)
	require.Equal(t, "2026-01-01T12:30:00Z", at.Format(time.RFC3339))
}

func TestFaultsOfASchedule(t *testing.T) {
	t.Parallel()
	for text, s := range map[string]outbox.Schedule{
		`Name is "a b"`:        {Name: "a b", Queue: "q", Every: time.Minute},
		"either Cron or Every": {Name: "s", Queue: "q"},
		"either":               {Name: "s", Queue: "q", Every: time.Minute, Cron: "* * * * *"},
		"Every is 1ms":         {Name: "s", Queue: "q", Every: time.Millisecond},
		"unknown time zone":    {Name: "s", Queue: "q", Cron: "* * * * *", Zone: "Europe/Atlantis"},
		"no time zone":         {Name: "s", Queue: "q", Every: time.Minute, Zone: "Europe/Berlin"},
		"not a cron":           {Name: "s", Queue: "q", Cron: "61 * * * *"},
		"five fields":          {Name: "s", Queue: "q", Cron: "nonsense"},
		"never fires":          {Name: "s", Queue: "q", Cron: "0 0 30 2 *"},
		"none of years":        {Name: "s", Queue: "q", Cron: "0 0 0 1 1 * 2001"},
		"(and none of years)":  {Name: "s", Queue: "q", Cron: "0 12 1 1 * 9999"},
		"name of a queue":      {Name: "s", Every: time.Minute},
		"Overlap is 9":         {Name: "s", Queue: "q", Every: time.Minute, Overlap: 9},
		"CatchUp is 9":         {Name: "s", Queue: "q", Every: time.Minute, CatchUp: 9},
		"has a delay":          {Name: "s", Queue: "q", Every: time.Minute, Message: &handler.Message{Delay: 1}},
		"not valid UTF-8":      {Name: "s", Queue: "q", Every: time.Minute, Message: &handler.Message{Group: "\xff"}},
	} {
		require.ErrorContains(t, s.Check(), text)
	}
	_, table := open(t, outbox.SQLite)
	twice := []outbox.Schedule{{Name: "s", Queue: "q", Every: time.Minute}, {Name: "s", Queue: "q", Every: time.Minute}}
	_, err := outbox.NewRelay(table, &outbox.RelayConfig{Open: new(post).open, Schedules: twice})
	require.ErrorContains(t, err, `schedule "s" is there twice`)
}
