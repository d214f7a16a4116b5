package outbox

import (
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// A cron is a cron expression in a time zone.
//
// gronx counts in the wall clock of UTC here, which has no gaps; the zone is added after.
// If the hours of the expression are fixed ("30 2 * * *"), its times are times of the wall
// clock: one that the zone leaves out is moved to the end of the gap, and one that the zone
// has twice counts the first time. If the hours are "*" or "*/n", its times are evenly
// spaced in real time: no hour is left out and the repeated hour has its times twice. These
// are the rules of Vixie's cron.
type cron struct {
	expr   string
	zone   *time.Location
	hourly bool
}

func newCron(expr string, zone *time.Location) (*cron, error) {
	segments, err := gronx.Segments(expr)
	// With a field of years the expression would end, and its latest times have no next.
	if err != nil || len(segments) > 6 || !gronx.IsValid(expr) {
		return nil, fmt.Errorf("Cron is %q: not a cron expression of five fields, or six with seconds (and none of years)", expr)
	}
	c := &cron{expr: expr, zone: zone, hourly: strings.HasPrefix(segments[2], "*")}
	if _, err := c.next(time.Now()); err != nil {
		return nil, err
	}
	return c, nil
}

// next returns the first time after t.
func (c *cron) next(t time.Time) (time.Time, error) {
	if c.hourly {
		return c.nextReal(t)
	}
	for wall := wallOf(t.In(c.zone)); ; {
		next, err := c.after(wall, false)
		if err != nil {
			return time.Time{}, err
		}
		if at := inZone(next, c.zone); at.After(t) {
			return at, nil
		}
		wall = next // a repeated hour, whose first pass counts
	}
}

// nextReal goes through the spans of time in which the zone's offset does not change, and
// looks for the first time in each.
func (c *cron) nextReal(t time.Time) (time.Time, error) {
	inclusive := false
	for range 200 { // changes of a zone's offset: a century
		t = t.In(c.zone)
		_, offset := t.Zone()
		wall, err := c.after(wallOf(t), inclusive)
		if err != nil {
			return time.Time{}, err
		}
		at := wall.Add(-time.Duration(offset) * time.Second)
		_, end := t.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at.In(c.zone), nil
		}
		t, inclusive = end, true
	}
	return time.Time{}, fmt.Errorf("Cron is %q: it never fires in %v", c.expr, c.zone)
}

// after returns the first time of the expression after wall, or from wall on.
func (c *cron) after(wall time.Time, inclusive bool) (time.Time, error) {
	if inclusive && wall.Nanosecond() == 0 {
		wall = wall.Add(-time.Second)
	}
	next, err := gronx.NextTickAfter(c.expr, wall, false)
	if err != nil || !next.After(wall) {
		return time.Time{}, fmt.Errorf("Cron is %q: it never fires", c.expr)
	}
	return next.Truncate(time.Second), nil
}

// wallOf returns what the clock on the wall shows at t, as a time in UTC.
func wallOf(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// inZone returns when the clock on the zone's wall shows wall: the first time if it does so
// twice, the end of the gap if it never does.
func inZone(wall time.Time, zone *time.Location) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	start, end := at.ZoneBounds()
	switch shown := wallOf(at); {
	case shown.After(wall):
		return start
	case shown.Before(wall):
		return end
	}
	if !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		if first := wall.Add(-time.Duration(before) * time.Second); first.Before(start) {
			return first.In(zone)
		}
	}
	return at
}
