package console

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-go/sluice/cmd/sluice/internal/timetable"
	"github.com/sluice-go/sluice/internal/lookonly"
	"github.com/sluice-go/sluice/outbox"
)

// maxFailing is how many failing rows of a queue are read for their errors.
const maxFailing = 20

// An Outbox is the table of the configuration's delay_store, which [outbox.Table]
// implements. The console calls only these methods: they read.
type Outbox interface {
	Backlog(ctx context.Context) ([]outbox.Backlog, error)
	Failing(ctx context.Context, limit int, queues ...string) ([]outbox.Entry, error)
	Clocks(ctx context.Context) ([]outbox.Clock, error)
	String() string
}

// delays are the outbox rows and schedules, as they were read last. Its methods may be
// called concurrently.
type delays struct {
	table     Outbox // nil if the configuration has no delay_store
	schedules []outbox.Schedule

	mu      sync.Mutex
	at      time.Time // when the rest was read; zero never
	fault   string    // why the last read failed
	backlog []outbox.Backlog
	failing []outbox.Entry
	clocks  []outbox.Clock
}

// A backlog is the outbox rows of one queue as a page shows them.
type backlog struct {
	outbox.Backlog
	// Error is that of the newest failing row that was read.
	Error string
	// Page is true if the console has a page of the queue.
	Page bool
}

// A schedule is a schedule as a page shows it.
type schedule struct {
	timetable.Line
	// Error is that of the newest message of the schedule that fails.
	Error string
	Page  bool
}

// delaysData is what pages show of outbox rows and schedules.
type delaysData struct {
	// Table names the table; At is when it was read, and Fault why it could not be.
	Table     string
	At        time.Time
	Fault     string
	Rows      []backlog
	Schedules []schedule
}

// read reads the table once.
func (d *delays) read(ctx context.Context) {
	if d.table == nil {
		return
	}
	ctx, cancel := context.WithTimeout(lookonly.Context(ctx), answerTime)
	defer cancel()
	rows, failing, clocks, err := d.ask(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.fault = problem(err)
		return
	}
	d.at, d.fault, d.backlog, d.failing, d.clocks = time.Now(), "", rows, failing, clocks
}

// ask asks the database.
func (d *delays) ask(ctx context.Context) (rows []outbox.Backlog, failing []outbox.Entry, clocks []outbox.Clock, err error) {
	if rows, err = d.table.Backlog(ctx); err != nil {
		return nil, nil, nil, err
	}
	for i := range rows {
		if rows[i].Failing == 0 {
			continue
		}
		some, err := d.table.Failing(ctx, maxFailing, rows[i].Queue)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, e := range some {
			e.Message.Body = nil // only the error and the schedule are shown
			failing = append(failing, e)
		}
	}
	clocks, err = d.table.Clocks(ctx)
	return rows, failing, clocks, err
}

// of returns what pages show of one queue, or of all if queue is "". Without a table it
// returns nil. known has the queues that have pages.
func (d *delays) of(queue string, known map[string]*watched, now time.Time) *delaysData {
	if d.table == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &delaysData{Table: d.table.String(), At: d.at, Fault: d.fault}
	for _, b := range d.backlog {
		one := backlog{Backlog: b, Page: known[b.Queue] != nil, Error: d.newest(func(e *outbox.Entry) bool { return e.Queue == b.Queue })}
		one.Queue = redacted(b.Queue)
		if queue == "" || b.Queue == queue {
			out.Rows = append(out.Rows, one)
		}
	}
	lines, err := timetable.Lines(d.schedules, d.clocks, now)
	if err != nil {
		out.Fault = problem(err)
	}
	for _, l := range lines {
		if d.at.IsZero() {
			l.Note = "" // the table may know more
		}
		if queue == "" || l.Queue == queue {
			out.Schedules = append(out.Schedules, schedule{Line: l, Page: known[l.Queue] != nil,
				Error: d.newest(func(e *outbox.Entry) bool { return e.Queue == l.Queue && e.Message.Attribute("schedule") == l.Schedule })})
		}
	}
	return out
}

// newest returns the error of the newest failing row that fits, or "". Its caller has mu.
func (d *delays) newest(fits func(*outbox.Entry) bool) string {
	for i := len(d.failing) - 1; i >= 0; i-- {
		if fits(&d.failing[i]) {
			return redacted(d.failing[i].Error)
		}
	}
	return ""
}
