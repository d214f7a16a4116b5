package console_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/cmd/sluice/internal/console"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/opentable"
)

// A tabled is an outbox's table with some rows.
type tabled struct {
	reads atomic.Int64
	fault error
}

func (o *tabled) Backlog(context.Context) ([]outbox.Backlog, error) {
	o.reads.Add(1)
	return []outbox.Backlog{
		{Queue: "mail", Due: 1, Delayed: 7, Oldest: 65 * time.Second},
		{Queue: "orders", Due: 4, Sending: 1, Delayed: 1234, Retrying: 2, Failing: 3, Oldest: 2 * time.Hour},
		{Queue: "removed", Delayed: 5, Oldest: -1},
	}, o.fault
}

func (o *tabled) Failing(_ context.Context, _ int, queues ...string) ([]outbox.Entry, error) {
	if len(queues) != 1 || queues[0] != "orders" {
		return nil, errors.New("a queue without failing rows was read")
	}
	entry := func(schedule, fault string) outbox.Entry {
		m := &handler.Message{Body: []byte("body of a customer")}
		if schedule != "" {
			m.SetAttribute("schedule", schedule)
		}
		return outbox.Entry{Queue: "orders", Message: m, Error: fault}
	}
	return []outbox.Entry{
		entry("", "the oldest error"), entry("nightly-report", "send: the queue is <full>"),
		entry("", "dial nats://user:hunter2@broker:4222: connection refused"),
	}, nil
}

func (o *tabled) Clocks(context.Context) ([]outbox.Clock, error) {
	day := time.Now().Truncate(24 * time.Hour)
	return []outbox.Clock{{Name: "nightly-report", Last: day.Add(-70*time.Hour - 30*time.Minute), Messages: 12}, {Name: "old", Messages: 3, Last: day.Add(-900 * time.Hour)}}, nil
}

func (*tabled) String() string { return "PostgreSQL table shop.outbox" }

func planned() []outbox.Schedule {
	return []outbox.Schedule{
		{Name: "nightly-report", Cron: "30 2 * * *", Zone: "Europe/Berlin", Queue: "orders"},
		{Name: "digest", Every: time.Hour, Queue: "mail"},
	}
}

// section returns a part of a page that is refreshed.
func section(t *testing.T, body, name string) string {
	t.Helper()
	_, after, found := strings.Cut(body, `data-live="`+name+`"`)
	require.True(t, found, "the page has no part %s", name)
	part, _, _ := strings.Cut(after, "</section>")
	return part
}

func TestSchedulesAndOutboxRows(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	table := new(tabled)
	s := open(t, &console.Config{Mux: mux, Every: time.Hour, Outbox: table, Schedules: planned(),
		Queues: []config.Queue{memory(t, mux, "orders", 0, 0), memory(t, mux, "mail", 0, 0)}})
	s.sees("/schedules", "outbox: read ")

	page := section(t, s.get("/schedules").body, "schedules")
	for _, text := range []string{"<code>30 2 * * *</code>", "Europe/Berlin", `href="/queues/orders"`, "late since", "send: the queue is &lt;full&gt;",
		"<code>every 1h</code>", "no relay has run it", "not in the configuration"} {
		require.Contains(t, page, text)
	}

	page = section(t, s.get("/").body, "outbox")
	require.Regexp(t, `orders</a></th><td class="n">4</td><td class="n">1</td><td class="n">1\x{202f}234</td><td class="n">2</td><td class="n bad">3</td><td class="n">2h 00m</td>`, page)
	require.Contains(t, page, "connection refused")
	require.NotContains(t, page, "hunter2")
	require.Contains(t, page, `<th scope="row">removed</th>`, "no page, so no link")

	whole := s.get("/queues/mail").body
	page = section(t, whole, "outbox")
	require.Contains(t, page, "1m 05s")
	require.NotContains(t, page, "orders")
	page = section(t, whole, "schedules")
	require.Contains(t, page, "digest")
	require.NotContains(t, page, "nightly-report")
	require.EqualValues(t, 1, table.reads.Load(), "it is read once for all viewers")
	require.NotContains(t, s.log.String(), "customer")
}

func TestATableThatCannotBeRead(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	queues := []config.Queue{memory(t, mux, "orders", 0, 0)}
	s := open(t, &console.Config{Mux: mux, Queues: queues, Outbox: &tabled{fault: errors.New("no such host")}, Schedules: planned()})
	body := s.sees("/schedules", "could not be read: no such host")
	require.Contains(t, body, "not read yet")
	require.Contains(t, body, "nightly-report")
	require.NotContains(t, body, "no relay has run it", "it is not known")

	s = open(t, &console.Config{Mux: mux, Queues: queues, Schedules: planned()})
	require.Equal(t, http.StatusNotFound, s.get("/schedules").StatusCode)
	for _, path := range []string{"/", "/queues/orders"} {
		require.NotContains(t, s.get(path).body, "/schedules")
		require.NotContains(t, s.get(path).body, "Outbox")
	}
}

// A real table, and messages that wait in it.
func TestATableIsRead(t *testing.T) {
	t.Parallel()
	table, db, err := opentable.URL(t.Context(), "sqlite://"+t.TempDir()+"/outbox.db")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, table.Migrate(t.Context()))
	require.NoError(t, table.Send(t.Context(), nil, "orders", &handler.Message{Delay: time.Hour}, &handler.Message{}))
	mux := all.Mux()
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 0, 0)}, Outbox: table})
	s.sees("/queues/orders", `orders</a></th><td class="n">1</td><td class="n">0</td><td class="n">1</td>`)
}

// Consumers do not report how they fare, and the console does not guess.
func TestHealthIsNotKnown(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	s := open(t, &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 1, 0)}})
	page := section(t, s.sees("/queues/orders", "<dt>Visible</dt><dd>1</dd>"), "consumers")
	require.Contains(t, page, "<dt>Messages in flight</dt><dd>0</dd>")
	require.Contains(t, page, "<dt>Health</dt><dd>not known</dd>")
	require.Contains(t, page, "no control store")
}

func TestSchedulesInABrowser(t *testing.T) {
	t.Parallel()
	s := shop(t, func(c *console.Config) { c.Outbox, c.Schedules = new(tabled), planned() })
	b := s.browse(t)
	complaints := b.problems()
	s.sees("/schedules", "outbox: read ")
	b.open("/")
	b.audit()
	b.fits()
	b.do(chromedp.KeyEvent("g"), chromedp.KeyEvent("s"))
	b.at("/schedules")
	b.shoot("schedules")
	b.open("/queues/orders")
	b.audit()
	b.fits()
	require.Empty(t, complaints())
}
