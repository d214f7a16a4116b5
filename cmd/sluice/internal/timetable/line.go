// Package timetable says how far schedules have come, for the command line and the web
// console.
package timetable

import (
	"slices"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/outbox"
)

// late is how old the next time of a schedule must be to be worth a note.
const late = time.Minute

// A Line is one schedule. Absent times are not known.
type Line struct {
	Schedule string `json:"schedule"`
	Times    string `json:"times,omitempty"`
	Zone     string `json:"zone,omitempty"`
	Queue    string `json:"queue,omitempty"`
	Last     string `json:"last,omitempty"`
	Next     string `json:"next,omitempty"`
	Count    int64  `json:"count"`
	Note     string `json:"note,omitempty"`
}

// Lines returns the lines of the configuration's schedules, and then of those that are in
// the table only, as clocks has them.
func Lines(schedules []outbox.Schedule, clocks []outbox.Clock, now time.Time) ([]Line, error) {
	var lines []Line
	rest := slices.Clone(clocks)
	for i := range schedules {
		var clock *outbox.Clock
		if at := slices.IndexFunc(rest, func(k outbox.Clock) bool { return k.Name == schedules[i].Name }); at >= 0 {
			k := rest[at]
			clock, rest = &k, slices.Delete(rest, at, at+1)
		}
		l, err := lineOf(&schedules[i], clock, now)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	for _, k := range rest {
		l := Line{Schedule: k.Name, Count: k.Messages, Note: "not in the configuration"}
		if k.Messages > 0 {
			l.Last = k.Last.UTC().Format(time.RFC3339)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// lineOf returns what is known of a schedule; a nil clock is one that has not begun.
func lineOf(s *outbox.Schedule, k *outbox.Clock, now time.Time) (Line, error) {
	l := Line{Schedule: s.Name, Times: s.Cron, Zone: s.Zone, Queue: s.Queue}
	if s.Every > 0 {
		l.Times = "every " + config.FormatDuration(s.Every)
	}
	from := now
	if k == nil {
		l.Note = "no relay has run it"
	} else {
		l.Count = k.Messages
		if k.Messages > 0 {
			l.Last = k.Last.In(zoneOf(s)).Format(time.RFC3339)
		}
		if k.Last.After(now.Add(late)) {
			from = k.Last
			l.Note = "stands still until " + k.Last.In(zoneOf(s)).Format(time.RFC3339) + ": its latest time is ahead of the clock"
		}
		if k.Last.Before(now.Add(-late)) {
			missed, err := s.Next(k.Last)
			if err != nil {
				return l, err
			}
			if missed.Before(now.Add(-late)) {
				l.Note = "late since " + missed.Format(time.RFC3339)
			}
		}
	}
	next, err := s.Next(from)
	if err != nil {
		return l, err
	}
	l.Next = next.Format(time.RFC3339)
	return l, nil
}

// zoneOf returns the time zone of a schedule that was checked.
func zoneOf(s *outbox.Schedule) *time.Location {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return time.UTC
	}
	return zone
}
