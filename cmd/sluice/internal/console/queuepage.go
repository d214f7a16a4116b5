package console

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// A queuePage is the page of one queue.
type queuePage struct{ *Console }

// A setting is a property of a queue, as its provider has it.
type setting struct{ Name, Value string }

// queueData is what the page shows.
type queueData struct {
	row
	URL      string
	Charts   []*chart
	Settings []setting
	// Changes are the differences from the configuration. Configured is false if
	// there is none to compare with.
	Configured bool
	Changes    []provision.Change
	// Asked is when the provider was asked, and Problem why it did not say all.
	Asked   time.Time
	Problem string
	List    []finding
	// CanWrite reports whether the queue can be paused here, and its letters moved.
	CanWrite bool
	// Delays has the queue's schedules and outbox rows. It is nil without a delay_store.
	Delays *delaysData
}

const (
	chartWidth  = 560
	chartHeight = 120
)

func (p queuePage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := p.find(w, r)
	if q == nil {
		return
	}
	now, report, about := time.Now(), p.doctor.latest(), q.describe(r.Context())
	d := queueData{
		row: row{Name: q.queue.Name, Provider: provider(q.queue.URL()), SendOnly: q.queue.Source == "", Examined: !report.At.IsZero(), Pause: p.pauses.of(q.queue.Name)},
		URL: config.Redact(q.queue.URL()), Configured: q.queue.Configured,
		Settings: settings(about.state), Changes: about.changes, Asked: about.at,
		List: p.worded(report.of(q.queue.Name)), CanWrite: p.c.Write,
		Delays: p.delays.of(q.queue.Name, p.byName, now),
	}
	if about.err != nil {
		d.Problem = problem(about.err)
	}
	var err error
	if d.Depth, d.Counted, err = q.status(); err != nil {
		d.Fault = problem(err)
	}
	samples := q.history.all()
	waiting := levels(samples, (*sample).waiting)
	dead := levels(samples, func(s *sample) int64 { return s.depth.DeadLetters })
	for _, one := range []struct {
		title  string
		points []point
	}{
		{"Waiting messages", waiting},
		{"Change of waiting messages a minute", rates(waiting)},
		{"Dead letters", dead},
		{"Age of the oldest message in seconds", levels(samples, func(s *sample) int64 { return oldest(&s.depth) })},
	} {
		d.Charts = append(d.Charts, newChart(one.title, chartWidth, chartHeight, one.points, now, gap(p.c.Every)))
	}
	p.show(w, r, http.StatusOK, "queue", &view{Title: d.Name, At: "queues", Refresh: p.c.Every, Data: d})
}

// oldest returns the age of the oldest message in seconds, or drivers.Unknown.
func oldest(d *drivers.Depth) int64 {
	if d.OldestAge < 0 {
		return drivers.Unknown
	}
	return int64(d.OldestAge.Seconds())
}

// settings words what a provider says of a queue. A nil state says nothing.
func settings(s *provision.State) []setting {
	if s == nil {
		return nil
	}
	var out []setting
	add := func(name, value string) { out = append(out, setting{name, value}) }
	since := func(name string, d time.Duration) {
		if d > 0 {
			add(name, config.FormatDuration(d))
		}
	}
	add("Name at the provider", s.Queue)
	since("Lease", s.Lease)
	since("Retention", s.Retention)
	add("Order of groups kept", yesNo(s.Ordered))
	d := s.DeadLetter
	if d == nil {
		add("Dead-letter queue", "none")
		return out
	}
	add("Dead-letter queue", d.Name)
	if d.MaxAttempts > 0 {
		add("Attempts", fmt.Sprint(d.MaxAttempts))
	} else {
		add("Attempts", "no limit")
	}
	since("Retention of dead letters", d.Retention)
	return out
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// A finding is one of doctor's, with the command that mends it.
type finding struct {
	admin.Finding
	Command, Note string
}
