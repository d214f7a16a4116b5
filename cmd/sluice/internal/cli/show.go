package cli

import (
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-go/sluice/admin/letters"
)

const (
	// reasonWidth is the most of a reason that a table shows, bodyWidth of a body.
	reasonWidth = 60
	bodyWidth   = 40
)

// showFlags say how messages are shown.
type showFlags struct {
	verbose bool
	body    int // the most bytes shown of a body; 0 is all
}

func (f *showFlags) add(fl *pflag.FlagSet) {
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "show all of each message, a line for each of its parts")
	fl.IntVar(&f.body, "body-limit", defaultBodyLimit, "show at most `BYTES` of each body; 0 shows all")
	allow(fl, mayBeZero, "body-limit")
}

// A shower prints messages: as JSON, as a table on a terminal, or else with a line for each
// part of a message.
type shower struct {
	*app
	verbose bool
	rows    [][]string
	n       int
}

func newShower(a *app, f showFlags) *shower {
	return &shower{app: a, verbose: f.verbose || !terminal(a.out)}
}

// add prints a message, or keeps it for the table.
func (s *shower) add(l letters.Letter, p peeked) error {
	s.n++
	if s.asJSON() {
		return s.printJSON(p)
	}
	if s.verbose {
		apart := "" // what separates a message from the one before
		if s.n > 1 {
			apart = "\n"
		}
		return s.printf("%s%s", apart, p)
	}
	if s.rows == nil {
		s.rows = [][]string{{"ID", "ATTEMPT", "TIME", "KIND", "REASON", "BODY"}}
	}
	s.rows = append(s.rows, []string{
		printable(p.ID), p.attempts(), shortTime(l.At()), orDash(printable(l.Kind)),
		orDash(shortened(printable(p.Reason), reasonWidth)), shortened(p.shownBody(), bodyWidth),
	})
	return nil
}

// flush prints the table, if there is one.
func (s *shower) flush() error {
	if len(s.rows) == 0 {
		return nil
	}
	return s.table(s.rows, layout{drop: []string{"KIND", "TIME", "BODY", "ATTEMPT"}, texts: []string{"KIND", "REASON", "BODY"}})
}

// shortTime is a time for people: without the date if it is of the last day.
func shortTime(t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case time.Since(t) < 24*time.Hour:
		return t.Local().Format(time.TimeOnly) //nolint:gosmopolitan // for the person at the terminal
	default:
		return t.Local().Format(time.DateTime) //nolint:gosmopolitan // for the person at the terminal
	}
}

// timeShown is a time for JSON; nil is not known.
func timeShown(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// span is a range of numbers, of which zero is not known.
func span(least, most int) string {
	switch {
	case most == 0:
		return "-"
	case least == most:
		return strconv.Itoa(most)
	default:
		return strconv.Itoa(least) + ".." + strconv.Itoa(most)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shortened cuts a text to so many characters.
func shortened(s string, most int) string {
	if textWidth(s) <= most {
		return s
	}
	return head(s, most-1) + "…"
}
