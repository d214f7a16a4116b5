package console

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A point is a value at a time.
type point struct {
	at    time.Time
	value float64
}

// A chart is a line over the last hour, as SVG paths. It has one size, however many
// points there are, so that nothing moves when it is drawn again.
type chart struct {
	// Title says what the line is, and Summary what it shows, for those who do not see it.
	Title, Summary string
	Width, Height  int
	// Line is the path of the line, and Area that of the area between it and zero.
	// Empty means that nothing is known.
	Line, Area string
	// Most and Least label the axis; Zero is the height of the line of zero.
	Most, Least string
	Zero        string
	// Begin labels the left end.
	Begin string
}

// newChart draws points, which are in the order of their times, in the hour before now.
// Between points that are more than gap apart the line is interrupted.
func newChart(title string, width, height int, points []point, now time.Time, gap time.Duration) *chart {
	c := &chart{Title: title, Summary: title + ": nothing is known yet", Width: width, Height: height, Begin: "1 hour ago"}
	if len(points) == 0 {
		return c
	}
	least, most := 0.0, 0.0
	for _, p := range points {
		least, most = math.Min(least, p.value), math.Max(most, p.value)
	}
	last := points[len(points)-1].value
	c.Summary = fmt.Sprintf("%s over the last hour: now %s, at most %s, at least %s", title, short(last), short(most), short(least))
	c.Most, c.Least = short(most), short(least)
	if least == most { // all are zero: the line is at the bottom
		most = 1
	}
	span := most - least
	const margin = 2.0 // so that the line's width fits
	x := func(t time.Time) float64 {
		return margin + (1-now.Sub(t).Seconds()/kept.Seconds())*(float64(width)-2*margin)
	}
	y := func(v float64) float64 { return margin + (most-v)/span*(float64(height)-2*margin) }
	zero := y(0)
	c.Zero = fmt.Sprintf("%.1f", zero)
	var line, area strings.Builder
	for i := 0; i < len(points); {
		end := i + 1
		for end < len(points) && points[end].at.Sub(points[end-1].at) <= gap {
			end++
		}
		run := points[i:end]
		fmt.Fprintf(&area, "M%.1f %.1f", x(run[0].at), zero)
		for n, p := range run {
			command := "L"
			if n == 0 {
				command = "M"
			}
			fmt.Fprintf(&line, "%s%.1f %.1f", command, x(p.at), y(p.value))
			fmt.Fprintf(&area, "L%.1f %.1f", x(p.at), y(p.value))
		}
		if len(run) == 1 { // a dot
			line.WriteString("h0.5")
		}
		fmt.Fprintf(&area, "L%.1f %.1fZ", x(run[len(run)-1].at), zero)
		i = end
	}
	c.Line, c.Area = line.String(), area.String()
	return c
}

// short writes a number in a few characters.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e9:
		return fmt.Sprintf("%.1fG", v/1e9)
	case a >= 1e6:
		return fmt.Sprintf("%.1fM", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.0fk", v/1e3)
	case a == math.Trunc(a):
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.1f", v)
	}
}

// levels returns a count of each sample in which it is known.
func levels(samples []sample, count func(*sample) int64) []point {
	var points []point
	for i := range samples {
		if n := count(&samples[i]); n >= 0 {
			points = append(points, point{samples[i].at, float64(n)})
		}
	}
	return points
}

// rates returns the change of each point from the one a minute before, or a little more,
// scaled to a minute. Changes from one count to the next would be noise.
func rates(points []point) []point {
	var out []point
	before := 0 // the latest point that is a minute older than points[i], if there is one
	for i := range points {
		for before+1 < i && points[i].at.Sub(points[before+1].at) >= time.Minute {
			before++
		}
		if d := points[i].at.Sub(points[before].at); d >= time.Minute {
			out = append(out, point{points[i].at, (points[i].value - points[before].value) / d.Minutes()})
		}
	}
	return out
}
