package service_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/outbox/opentable"
	"github.com/sluice-go/sluice/producer"
	"github.com/sluice-go/sluice/service"
)

// A store is a delay store in a file.
type store struct {
	url   string
	db    *sql.DB
	table *outbox.Table
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{url: "sqlite://" + filepath.ToSlash(t.TempDir()) + "/delays.db"}
	table, db, err := opentable.URL(t.Context(), s.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, table.Migrate(t.Context()))
	s.table = table
	s.db, _ = db.(*sql.DB)
	return s
}

// pass has time pass for the delayed rows: the database's clock cannot be set.
func (s *store) pass(t *testing.T, d time.Duration) {
	t.Helper()
	res, err := s.db.ExecContext(t.Context(), fmt.Sprintf("UPDATE sluice_outbox SET due_at = due_at - %d WHERE state = 0 AND due_at > 0", d.Milliseconds()))
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func loadFile(t *testing.T, text string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	c, err := config.Load(&config.Options{Files: []string{file}, Environ: []string{}, OpenTable: opentable.URL})
	require.NoError(t, err)
	return c
}

// start runs a service until the test ends.
func start(t *testing.T, s *service.Service) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
}

// next returns the next value of a channel.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing comes")
		panic("unreachable")
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Delays that the provider cannot give go by the table, which the same service relays: none
// on Pub/Sub and on FIFO queues, and at most 15 minutes on other queues of SQS. The message
// arrives once, not before, and as attempt 1.
func TestDelaysThatProvidersCannotGive(t *testing.T) {
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL(), "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	client := awssqs.New(awssqs.Options{BaseEndpoint: aws.String(server.URL()), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	for name, attributes := range map[string]map[string]string{"jobs": nil, "jobs.fifo": {"FifoQueue": "true"}} {
		_, err := client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		require.NoError(t, err)
	}
	google, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, google.Close()) })
	t.Setenv("PUBSUB_EMULATOR_HOST", google.Addr())
	topic := pubsubtest.Queue{Project: "test", ID: "jobs", AckDeadlineSeconds: 30, MaxAttempts: 5}
	require.NoError(t, google.Create(t.Context(), topic))

	for _, c := range []struct {
		name, url, group string
		delay            time.Duration
	}{
		{"pubsub", "gcppubsub://" + topic.Subscription(), "", 2 * time.Minute},
		{"fifo", "awssqs:///jobs.fifo", "g", 2 * time.Minute},
		{"standard", "awssqs:///jobs", "", 20 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			delays := newStore(t)
			conf := loadFile(t, fmt.Sprintf("delay_store: %s\nqueues:\n  jobs: {url: %q}\n", delays.url, c.url))
			mux := drivers.NewMux(new(sqs.Opener), new(pubsub.Opener))
			s, err := service.New(conf, &service.Options{Mux: mux, Admin: service.NoAdmin, Logger: quiet(), Signals: make(chan os.Signal)})
			require.NoError(t, err)
			got := make(chan *handler.Message, 10)
			s.Handle("jobs", handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				got <- kept(m)
				return nil
			}))
			start(t, s)

			sink, err := conf.OpenSink(t.Context(), mux, "jobs")
			require.NoError(t, err)
			p, err := producer.New(sink, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			require.NoError(t, p.Send(t.Context(), &handler.Message{Body: []byte("later"), Group: c.group, Delay: c.delay}))
			require.NoError(t, p.Send(t.Context(), &handler.Message{Body: []byte("now"), Group: c.group}))
			require.Equal(t, "now", string(next(t, got).Body), "a delayed message holds back no other")
			rows, err := delays.table.Pending(t.Context(), 0)
			require.NoError(t, err)
			require.Len(t, rows, 1)
			require.WithinDuration(t, time.Now().Add(c.delay), rows[0].Due, time.Minute)

			passes := time.Until(rows[0].Due) - time.Second
			delays.pass(t, passes)
			begin := time.Now()
			m := next(t, got)
			require.False(t, time.Now().Before(rows[0].Due.Add(-passes)), "not before")
			require.Equal(t, "later", string(m.Body))
			require.Equal(t, 1, m.Attempt)
			require.Less(t, time.Since(begin), 10*time.Second)
			require.Eventually(t, func() bool {
				rows, err := delays.table.Pending(t.Context(), 0)
				return err == nil && len(rows) == 0
			}, patience, 5*time.Millisecond)
			require.Empty(t, got, "once")
		})
	}
}

// kept is a message with its body and attributes, which are the consumer's once the
// handler has returned.
func kept(m *handler.Message) *handler.Message {
	return &handler.Message{ID: m.ID, Attempt: m.Attempt, DedupeID: m.DedupeID, Group: m.Group, Body: bytes.Clone(m.Body), Attributes: maps.Clone(m.Attributes)}
}

// The schedules of the configuration run in any service of it, and each time makes one
// message.
func TestSchedulesRunInTheService(t *testing.T) {
	t.Parallel()
	delays := newStore(t)
	conf := loadFile(t, `
delay_store: `+delays.url+`
queues:
  jobs: {url: "mem://jobs"}
schedules:
  tick: {every: 1s, queue: jobs, body: hello, attributes: {type: tick}}
`)
	mux := drivers.NewMux(new(mem.Opener))
	got := make(chan *handler.Message, 100)
	for i := range 3 {
		s, err := service.New(conf, &service.Options{Mux: mux, Admin: service.NoAdmin, Logger: quiet(), Signals: make(chan os.Signal), RelayOnly: i > 0})
		require.NoError(t, err)
		if i == 0 {
			s.Handle("jobs", handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				got <- kept(m)
				return nil
			}))
		}
		start(t, s)
	}
	seen := make(map[string]bool)
	for range 3 {
		m := next(t, got)
		require.Equal(t, "hello", string(m.Body))
		require.Equal(t, "tick", m.Attribute("type"))
		require.Equal(t, "tick", m.Attribute("schedule"))
		require.Equal(t, 1, m.Attempt)
		at := m.Attribute("scheduled-at")
		require.False(t, seen[at], at)
		seen[at] = true
	}
}

func TestARelayThatCannotRun(t *testing.T) {
	t.Parallel()
	missing := "sqlite://" + filepath.ToSlash(t.TempDir()) + "/none.db"
	other := newStore(t)
	_, err := other.db.ExecContext(t.Context(), "ALTER TABLE sluice_outbox DROP COLUMN token")
	require.NoError(t, err)
	const queues = "queues:\n  jobs: {url: \"mem://jobs\"}\n"
	for _, c := range []struct {
		name, text string
		only       bool
		status     int
		want       []string
	}{
		{"no table", "delay_store: " + missing + "\n" + queues, false, service.StatusFailed, []string{"delay_store (", "sluice.yaml:1:14", "outbox.Migration"}},
		{"another version", "delay_store: " + other.url + "\n" + queues, false, service.StatusFailed, []string{"sluice.yaml:1:14", "another version"}},
		{"no store", queues, true, service.StatusUsage, []string{"delay_store is not configured (set delay_store in sluice.yaml"}},
		{"a wrong URL", "delay_store: redis://cache\n" + queues, true, service.StatusUsage, []string{"sluice.yaml:1:14", `no database has the scheme "redis"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := service.New(loadFile(t, c.text), &service.Options{
				Mux: drivers.NewMux(new(mem.Opener)), Admin: service.NoAdmin, Logger: quiet(), Signals: make(chan os.Signal), RelayOnly: c.only,
			})
			require.NoError(t, err)
			if !c.only {
				s.Handle("jobs", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
			}
			err = s.Run(t.Context())
			require.Equal(t, c.status, service.ExitStatus(err), "%v", err)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	t.Run("a handler and RelayOnly", func(t *testing.T) {
		t.Parallel()
		s, err := service.New(loadFile(t, "delay_store: "+missing+"\n"+queues), &service.Options{Mux: drivers.NewMux(new(mem.Opener)), Admin: service.NoAdmin, RelayOnly: true})
		require.NoError(t, err)
		s.Handle("jobs", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
		err = s.Run(t.Context())
		require.ErrorContains(t, err, "RelayOnly")
		require.Equal(t, service.StatusUsage, service.ExitStatus(err))
	})
	t.Run("service.relay is false", func(t *testing.T) {
		t.Parallel()
		r, err := service.New(loadFile(t, "delay_store: "+missing+"\nservice: {relay: false}\n"+queues), &service.Options{
			Mux: drivers.NewMux(new(mem.Opener)), Admin: service.NoAdmin, Logger: quiet(), Signals: make(chan os.Signal), UntilEmpty: true,
		})
		require.NoError(t, err)
		r.Handle("jobs", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
		require.NoError(t, r.Run(t.Context()), "the store is not needed")
	})
}

// A service that loads the configuration itself opens the table by its options.
func TestAServiceThatLoadsItsConfiguration(t *testing.T) {
	delays := newStore(t)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	require.NoError(t, os.WriteFile(file, []byte("delay_store: "+delays.url+"\n"), 0o600))
	t.Setenv("SLUICE_CONFIG", file)
	o := &service.Options{Mux: drivers.NewMux(new(mem.Opener)), Admin: service.NoAdmin, Logger: quiet(), Signals: make(chan os.Signal), RelayOnly: true, OpenTable: opentable.URL}
	s, err := service.New(nil, o)
	require.NoError(t, err)
	start(t, s)
	require.Eventually(t, func() bool { return s.Health().Ready() }, patience, 5*time.Millisecond)

	_, err = service.New(loadFile(t, "delay_store: "+delays.url+"\n"), o)
	require.ErrorContains(t, err, "OpenTable is set, and the configuration is loaded already: set config.Options.OpenTable")
	require.Equal(t, service.StatusUsage, service.ExitStatus(err))
}

// A program without an opener, or with one that opens nothing, learns it at the start.
func TestAProgramThatOpensNoTable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	require.NoError(t, os.WriteFile(file, []byte("delay_store: sqlite://o.db\nqueues:\n  jobs: {url: \"mem://jobs\"}\n"), 0o600))
	for _, open := range []func(context.Context, string) (*outbox.Table, io.Closer, error){
		nil, func(context.Context, string) (*outbox.Table, io.Closer, error) { return nil, nil, nil },
	} {
		conf, err := config.Load(&config.Options{Files: []string{file}, Environ: []string{}, OpenTable: open})
		require.NoError(t, err)
		s, err := service.New(conf, &service.Options{Mux: drivers.NewMux(new(mem.Opener)), Admin: service.NoAdmin, Logger: quiet(), RelayOnly: true, Signals: make(chan os.Signal)})
		require.NoError(t, err)
		require.ErrorContains(t, s.Run(t.Context()), "OpenTable")
	}
}
