package console

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

// An overview is the page of all queues.
type overview struct{ *Console }

// A row is a queue on the page of all queues.
type row struct {
	Name, Provider string
	// SendOnly queues have no URL to receive from, and no counts.
	SendOnly bool
	Depth    drivers.Depth
	// Counted is when Depth was counted; zero never. Fault is why it could not be
	// counted the last time.
	Counted time.Time
	Fault   string
	Pause   pause
	// Examined reports whether Findings is known; Worst is the gravest of them.
	Examined bool
	Findings int
	Worst    admin.Severity
	Spark    *chart
}

// overviewData is what the page shows.
type overviewData struct {
	Rows     []row
	Running  []progress
	Examined time.Time
	Dead     int64
	// Partly reports whether some dead letters are not counted.
	Partly bool
	// Outbox is nil without a delay_store.
	Outbox *delaysData
}

// leastGap is the least time without a count that interrupts a line: a pixel.
const leastGap = 10 * time.Second

// gap is the time between counts after which a line is interrupted.
func gap(every time.Duration) time.Duration { return max(5*every/2, leastGap) }

func (o overview) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now, report := time.Now(), o.doctor.latest()
	d := overviewData{Examined: report.At, Running: o.tasks.running(), Outbox: o.delays.of("", o.byName, now)}
	for _, q := range o.queues {
		found := report.of(q.queue.Name)
		one := row{Name: q.queue.Name, Provider: provider(q.queue.URL()), SendOnly: q.queue.Source == "",
			Examined: !report.At.IsZero(), Findings: len(found), Pause: o.pauses.of(q.queue.Name)}
		if len(found) > 0 {
			one.Worst = found[0].Severity // the gravest come first
		}
		var err error
		if one.Depth, one.Counted, err = q.status(); err != nil {
			one.Fault = problem(err)
		}
		one.Spark = newChart("Waiting messages of "+q.queue.Name, 160, 32, levels(q.history.all(), (*sample).waiting), now, gap(o.c.Every))
		if n := one.Depth.DeadLetters; n > 0 {
			d.Dead += n
		} else if n == drivers.Unknown && !one.SendOnly {
			d.Partly = true
		}
		d.Rows = append(d.Rows, one)
	}
	o.show(w, r, http.StatusOK, "overview", &view{Title: "Queues", At: "queues", Refresh: o.c.Every, Data: d})
}

// provider names the provider of a URL.
func provider(rawURL string) string {
	scheme, _, _ := strings.Cut(rawURL, ":")
	names := map[string]string{"awssqs": "SQS", "gcppubsub": "Pub/Sub", "sqlite": "SQLite", "mem": "memory", "nats": "NATS"}
	if name, ok := names[scheme]; ok {
		return name
	}
	return scheme
}

// problem is an error as a page shows it, without secrets of URLs in it.
func problem(err error) string { return redacted(err.Error()) }

// redacted is a text as a page shows it, without secrets of URLs in it.
func redacted(text string) string {
	words := strings.Split(cut(text, 600), " ")
	for i, word := range words {
		if strings.Contains(word, "://") && config.IsURL(word) {
			words[i] = config.Redact(word)
		}
	}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
}
