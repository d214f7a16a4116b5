package console

import (
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/config"
)

// A compiler compiles an expression that selects letters. Nil means that there is none.
type compiler = func(source string) (func(letters.Letter) bool, error)

// A selection is what a viewer has typed to select letters. The zero selection selects
// all.
type selection struct {
	// Cause is the ID of a group.
	Cause string
	// The others are those of the commands: patterns, a kind, an ID, KEY=VALUE, times
	// or durations back, and an expression.
	Reason, Kind, ID, Attr, Since, Until, Where string
}

// fields are the fields of a selection by the names of their parameters.
func (s *selection) fields() map[string]*string {
	return map[string]*string{
		"cause": &s.Cause, "reason": &s.Reason, "kind": &s.Kind, "id": &s.ID, "attr": &s.Attr,
		"since": &s.Since, "until": &s.Until, "where": &s.Where,
	}
}

// selectionOf reads the parameters of a request.
func selectionOf(q url.Values) selection {
	var s selection
	for name, field := range s.fields() {
		*field = strings.TrimSpace(q.Get(name))
	}
	return s
}

// unread returns a parameter that makes no selection, or "": a link with a wrong name must
// not select all letters.
func unread(q url.Values) string {
	var s selection
	fields := s.fields()
	for name := range q {
		if fields[name] == nil {
			return name
		}
	}
	return ""
}

// IsZero reports whether s selects all letters.
func (s selection) IsZero() bool { return s == selection{} }

// onlyCause reports whether nothing but a group is selected.
func (s selection) onlyCause() bool { return selection{Cause: s.Cause} == s }

// With returns the selection with another group, as a query.
func (s selection) With(cause string) template.URL {
	s.Cause = cause
	return s.Query()
}

// Query returns the parameters that make the selection.
func (s selection) Query() template.URL {
	v := url.Values{}
	for name, field := range s.fields() {
		if *field != "" {
			v.Set(name, *field)
		}
	}
	return template.URL(v.Encode()) //nolint:gosec // it is encoded
}

// Pairs are the parameters, for the hidden fields of a form.
func (s selection) Pairs() map[string]string {
	out := make(map[string]string)
	for name, field := range s.fields() {
		if *field != "" {
			out[name] = *field
		}
	}
	return out
}

// filter returns what s selects, but for the group: the caller compares that itself.
func (s selection) filter(now time.Time, compile compiler) (letters.Filter, error) {
	var f letters.Filter
	if s.Reason != "" {
		f.Reasons = []string{s.Reason}
	}
	if s.Kind != "" {
		f.Kinds = []string{s.Kind}
	}
	if s.ID != "" {
		f.IDs = []string{s.ID}
	}
	if s.Attr != "" {
		name, value, ok := strings.Cut(s.Attr, "=")
		if !ok || name == "" {
			return f, fmt.Errorf("attribute: %q is not NAME=VALUE", s.Attr)
		}
		f.Attributes = map[string]string{name: value}
	}
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{{"since", s.Since, &f.Since}, {"until", s.Until, &f.Until}} {
		at, err := moment(t.text, now)
		if err != nil {
			return f, fmt.Errorf("%s: %w", t.name, err)
		}
		*t.to = at
	}
	if s.Where != "" {
		if compile == nil {
			return f, errors.New("expression: this sluice was built without expressions: build it with -tags sluice_cel (or sluice_all)")
		}
		selects, err := compile(s.Where)
		if err != nil {
			return f, fmt.Errorf("expression: %w", err)
		}
		f.Where = selects
	}
	return f, nil
}

// moment reads a time, a date or a duration back; "" is the zero time.
func moment(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	d, err := config.ParseDuration(s)
	if err != nil || d <= 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time such as %s, nor a date, nor a duration back such as 2h", s, now.UTC().Format(time.RFC3339))
	}
	return now.Add(-d), nil
}

// of returns the letters of a snapshot that s selects.
func (s selection) of(snap *snapshot, now time.Time) ([]*seen, error) {
	f, err := s.filter(now, snap.compile)
	if err != nil {
		return nil, err
	}
	var out []*seen
	for i := range snap.Seen {
		one := &snap.Seen[i]
		if (s.Cause == "" || one.Cause == s.Cause) && f.Matches(one.Letter) {
			out = append(out, one)
		}
	}
	return out, nil
}
