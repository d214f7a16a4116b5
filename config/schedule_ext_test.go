package config_test

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/opentable"
	"github.com/sluice-go/sluice/producer"
	"github.com/sluice-go/sluice/producer/producertest"
)

const scheduled = `
delay_store: sqlite://outbox.db
queues:
  reports: {url: "mem://reports"}
  inbound: {source: "mem://inbound"}
schedules:
  nightly:
    cron: "30 2 * * *"
    zone: Europe/Berlin
    queue: reports
    body: '{"report":"daily"}'
    attributes: {type: report, level: 2}
    group: daily
    overlap: skip
    catch_up: all
  often: {every: 10s, queue: reports}
`

func TestSchedulesAreRead(t *testing.T) {
	t.Parallel()
	c, err := load(t, []string{"SLUICE_SCHEDULES_OFTEN_EVERY=30s", "SLUICE_DELAY_STORE=sqlite://other.db"}, scheduled)
	require.NoError(t, err)
	require.Equal(t, "sqlite://other.db", c.DelayStore())
	require.Equal(t, []outbox.Schedule{
		{
			Name: "nightly", Cron: "30 2 * * *", Zone: "Europe/Berlin", Queue: "reports", Overlap: outbox.OverlapSkip, CatchUp: outbox.CatchUpAll,
			Message: &handler.Message{Body: []byte(`{"report":"daily"}`), Group: "daily", Attributes: map[string]string{"type": "report", "level": "2"}},
		},
		{Name: "often", Every: 30 * time.Second, Queue: "reports", Message: &handler.Message{Body: []byte{}}},
	}, c.Schedules())
	require.True(t, c.Service().Relay)
	var shown []string
	for _, v := range c.Values() {
		if strings.HasPrefix(v.Path, "schedules.often") || v.Path == "delay_store" {
			shown = append(shown, v.Path+"="+v.Text+" "+v.Origin.String())
		}
	}
	require.Equal(t, []string{
		"delay_store=sqlite://other.db $SLUICE_DELAY_STORE", "schedules.often.every=30s $SLUICE_SCHEDULES_OFTEN_EVERY",
		"schedules.often.queue=reports " + shown[2][strings.LastIndex(shown[2], " ")+1:], "schedules.often.overlap=allow default",
		"schedules.often.catch_up=last default",
	}, shown)
}

func TestFaultsOfSchedulesNameTheLineAndTheWayOut(t *testing.T) {
	t.Parallel()
	const head = "delay_store: sqlite://outbox.db\nqueues:\n  reports: {url: \"mem://r\"}\n  inbound: {source: \"mem://i\"}\nschedules:\n  s: "
	for _, c := range []struct{ schedule, want string }{
		{`{cron: "@daily", queue: reports, bdy: x}`, `a.yaml:6:39: schedules.s: unknown key "bdy" (did you mean "body"?)`},
		{`{cron: "0 0 31 2 *", queue: reports}`, `a.yaml:6:13: schedules.s.cron: "0 0 31 2 *": it never fires (such as "30 2 * * *" for every day at 02:30)`},
		{`{cron: "61 * * * *", queue: reports}`, `a.yaml:6:13: schedules.s.cron: "61 * * * *": not a cron expression of five fields, or six with seconds (and none of years) (such as "30 2 * * *" for every day at 02:30)`},
		{`{cron: "@daily", zone: Europe/Berln, queue: reports}`, `a.yaml:6:29: schedules.s.zone: "Europe/Berln": unknown time zone Europe/Berln (an IANA name, such as Europe/Berlin)`},
		{`{cron: "@daily", zone: Local, queue: reports}`, `a.yaml:6:29: schedules.s.zone: "Local": it differs between processes; name a zone such as Europe/Berlin (an IANA name, such as Europe/Berlin)`},
		{`{cron: "@daily", queue: report}`, `a.yaml:6:30: schedules.s.queue: no queue "report" is configured (did you mean "reports"?)`},
		{`{cron: "@daily", queue: elsewhere}`, `a.yaml:6:30: schedules.s.queue: no queue "elsewhere" is configured (add it to the section queues)`},
		{`{cron: "@daily", queue: inbound}`, `a.yaml:6:30: schedules.s.queue: queue "inbound" has no URL for sending (set queues.inbound.sink)`},
		{`{cron: "@daily"}`, `a.yaml:6:3: schedules.s: the schedule has no queue (set queue to the name of a configured queue)`},
		{`{queue: reports}`, `a.yaml:6:3: schedules.s: the schedule has no times (set cron, such as "30 2 * * *", or every, such as 1h)`},
		{`{cron: "@daily", every: 1h, queue: reports}`, `a.yaml:6:30: schedules.s.every: cron and every exclude each other (remove one of them)`},
		{`{every: 1h, zone: UTC, queue: reports}`, `a.yaml:6:24: schedules.s.zone: an interval has no time zone (remove it, or use cron in place of every)`},
		{`{every: 500ms, queue: reports}`, `a.yaml:6:14: schedules.s.every: 500ms is not at least a second, in whole milliseconds`},
		{`{every: 1h, queue: reports, overlap: never}`, `a.yaml:6:43: schedules.s.overlap: "never" is not allow or skip`},
		{`{every: 1h, queue: reports, catch_up: some}`, `a.yaml:6:44: schedules.s.catch_up: "some" is not last, all or none`},
		{`{every: 1h, queue: reports, attributes: {"": x}}`, `a.yaml:6:3: schedules.s: an attribute has an empty name`},
	} {
		require.Equal(t, []string{c.want}, faults(t, nil, head+c.schedule+"\n"), c.schedule)
	}
	require.Equal(t, []string{`a.yaml:4:3: schedules.s: a schedule needs a table (set delay_store, such as postgres://host/db or sqlite://outbox.db)`},
		faults(t, nil, "queues:\n  r: {url: \"mem://r\"}\nschedules:\n  s: {every: 1h, queue: r}\n"))
	require.Equal(t, []string{`a.yaml:1:18: service.relay: a relay needs a table (set delay_store, such as postgres://host/db or sqlite://outbox.db)`},
		faults(t, nil, "service: {relay: true}\n"))
	require.Equal(t, []string{`a.yaml:1:14: delay_store: "outbox.db" is not a URL: it has no scheme (such as postgres://host/db or sqlite://outbox.db)`},
		faults(t, nil, "delay_store: outbox.db\n"))
	require.Equal(t, []string{`$SLUICE_SCHEDULES_S_CRN: matches no key of a schedule (did you mean "SLUICE_SCHEDULES_S_CRON"?)`},
		faults(t, []string{"SLUICE_SCHEDULES_S_CRN=x"}, head+"{every: 1h, queue: reports}\n"))
	require.Equal(t, []string{`$SLUICE_SCHEDULE_S_CRON: no such variable (did you mean "SLUICE_SCHEDULES_S_CRON"?)`},
		faults(t, []string{"SLUICE_SCHEDULE_S_CRON=x"}, head+"{every: 1h, queue: reports}\n"))
}

// short is a provider whose one queue delays messages for up to 15 minutes.
type short struct{ sent *producertest.Sink }

func (*short) Schemes() []string { return []string{"short"} }

func (*short) OpenSource(context.Context, *url.URL, *drivers.Options) (drivers.Source, error) {
	return nil, drivers.ErrUnsupported
}

func (s *short) OpenSink(context.Context, *url.URL, *drivers.Options) (drivers.Sink, error) {
	s.sent = &producertest.Sink{Limits: &drivers.Capabilities{Queue: "jobs", MaxSend: 10, MaxSendDelay: 15 * time.Minute}}
	return s.sent, nil
}

// A delay goes by the queue if that can give it, and otherwise by the table, under the name
// by which a relay opens the queue.
func TestADelayGoesByTheQueueOrByTheTable(t *testing.T) {
	t.Parallel()
	dir := filepath.ToSlash(t.TempDir())
	c, err := config.Load(&config.Options{
		Files:     write(t, "delay_store: sqlite://"+dir+"/o.db\nqueues:\n  jobs: {url: \"short://jobs\"}\n"),
		Environ:   []string{},
		OpenTable: opentable.URL,
	})
	require.NoError(t, err)
	table, db, err := c.OpenTable(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, table.Migrate(t.Context()))

	provider := new(short)
	mux := drivers.NewMux(provider)
	for _, name := range []string{"jobs", "short://jobs", "short://user:secret@jobs"} {
		sink, err := c.OpenSink(t.Context(), mux, name)
		require.NoError(t, err)
		p, err := producer.New(sink, nil)
		require.NoError(t, err)
		native, long := &handler.Message{Body: []byte("native"), Delay: 15 * time.Minute}, &handler.Message{Body: []byte("long"), Delay: 20 * time.Minute}
		require.NoError(t, p.Send(t.Context(), native))
		require.Equal(t, 15*time.Minute, provider.sent.Sent()[0].Delay)
		err = p.Send(t.Context(), long)
		require.Len(t, provider.sent.Sent(), 1)
		rows, e := table.Pending(t.Context(), 0, name)
		require.NoError(t, e)
		if strings.Contains(name, "secret") {
			require.ErrorContains(t, err, "set delay_store in the configuration, or wrap the sink by outbox.Delayed")
			require.Empty(t, rows, "a table holds no secret")
		} else {
			require.NoError(t, err)
			require.Len(t, rows, 1)
			require.Equal(t, long.ID, rows[0].Message.ID)
			require.WithinDuration(t, time.Now().Add(20*time.Minute), rows[0].Due, time.Minute)
		}
		require.NoError(t, p.Close())
	}
}

// A sender needs a table's opener only for queues that cannot delay by themselves.
func TestASinkThatCannotDelayNeedsAnOpener(t *testing.T) {
	t.Parallel()
	c, err := load(t, nil, scheduled)
	require.NoError(t, err)
	sink, err := c.OpenSink(t.Context(), drivers.NewMux(new(mem.Opener)), "reports")
	require.NoError(t, err, "memory delays by itself")
	require.NoError(t, sink.Close())
	_, _, err = c.OpenTable(t.Context())
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "set config.Options.OpenTable")
	require.ErrorContains(t, err, "a.yaml:2:14", "the place of delay_store")
	_, _, err = new(config.Config).OpenTable(t.Context())
	require.ErrorContains(t, err, "delay_store is not configured (set delay_store in sluice.yaml")
	require.NotErrorIs(t, err, drivers.ErrNotFound)
}

func TestKindsOfJobsHaveQueues(t *testing.T) {
	t.Parallel()
	const text = "jobs: {resize: images, mail: mails}\nqueues:\n  images: {url: \"mem://i\"}\n  mails: {url: \"mem://m\"}\n"
	c, err := load(t, nil, text)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"resize": "images", "mail": "mails"}, c.Jobs())
	c, err = load(t, []string{"SLUICE_JOBS=mail=images"}, text)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"mail": "images"}, c.Jobs())
	require.Equal(t, "mail=images", c.Values()[0].Text)
	require.Equal(t, []string{`$SLUICE_JOBS: jobs.mail: no queue "image" is configured (did you mean "images"?)`},
		faults(t, []string{"SLUICE_JOBS=mail=image"}, text))
}
