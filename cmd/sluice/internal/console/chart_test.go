package console

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func TestCharts(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var points []point
	for i := range 11 { // 0 to 100, ten more every 30 seconds
		points = append(points, point{now.Add(time.Duration(i-10) * 30 * time.Second), float64(10 * i)})
	}
	c := newChart("Waiting", 104, 24, points, now, time.Minute)
	require.Equal(t, "Waiting over the last hour: now 100, at most 100, at least 0", c.Summary)
	require.Equal(t, "M93.7 22.0L94.5 20.0L95.3 18.0L96.2 16.0L97.0 14.0L97.8 12.0L98.7 10.0L99.5 8.0L100.3 6.0L101.2 4.0L102.0 2.0", c.Line)
	require.Equal(t, "22.0", c.Zero)

	for _, r := range rates(points) {
		require.InDelta(t, 20, r.value, 0)
	}
	require.Len(t, rates(points), 9, "a minute is needed")

	c = newChart("Waiting", 104, 24, append(points[:2:2], points[10]), now, time.Minute)
	require.Equal(t, "M93.7 2.0", newChart("", 104, 24, []point{{points[0].at, 5}}, now, time.Minute).Line[:9], "a dot")
	require.Contains(t, c.Line, "M102.0 2.0h0.5", "a gap interrupts the line")
	require.Equal(t, "Waiting: nothing is known yet", newChart("Waiting", 1, 1, nil, now, time.Minute).Summary)
	require.Equal(t, "-5", newChart("", 1, 1, []point{{now, -5}}, now, time.Minute).Least)

	c = newChart("", 104, 24, []point{{now, 0}}, now, time.Minute)
	require.Equal(t, "M102.0 22.0h0.5", c.Line, "an empty queue's line is at the bottom")
	require.Equal(t, "22.0", c.Zero)
	require.Equal(t, "0", c.Most)
	require.Empty(t, levels([]sample{{now, drivers.Depth{Visible: drivers.Unknown}}}, (*sample).waiting))
}

func TestAHistoryIsBounded(t *testing.T) {
	var h history
	begin := time.Now()
	for i := range 2 * maxSamples {
		h.add(sample{at: begin.Add(time.Duration(i) * time.Second)})
	}
	require.Len(t, h.all(), maxSamples)
	h.add(sample{at: begin.Add(24 * time.Hour)})
	require.Len(t, h.all(), 1, "an hour is kept")
}

func TestNumbers(t *testing.T) {
	for want, got := range map[string]string{
		"1\u202f234\u202f567": count(1234567), "999": count(999), unknown: count(drivers.Unknown), "0": count(0),
		"59s": age(59 * time.Second), "1m 05s": age(65 * time.Second), "25h 00m": age(25 * time.Hour), "3d 01h": age(73 * time.Hour),
		"12k": short(12_345), "1.2M": short(1_234_567), "2.5": short(2.5), "3 to 5": span(3, 5), "5": span(0, 5),
		"never": ago(time.Time{}), "late since 2026-11-27 02:30:00Z": spaced("late since 2026-11-27T02:30:00Z"), "This": spaced("This"), "é…": cut("éé", 3),
	} {
		require.Equal(t, want, got)
	}
}
