package service_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

const patience = 30 * time.Second

// A rig is a service of a configuration, on queues in memory and in files.
type rig struct {
	*service.Service
	conf    *config.Config
	mux     *drivers.Mux
	signals chan os.Signal
	log     *output.Buffer
	exits   atomic.Int32
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	c, err := config.Load(&config.Options{Files: []string{file}, Environ: []string{"DIR=" + filepath.ToSlash(t.TempDir())}})
	require.NoError(t, err)
	return c
}

func newRig(t *testing.T, text string, change func(o *service.Options)) *rig {
	t.Helper()
	r := &rig{
		conf: load(t, text), mux: drivers.NewMux(&mem.Opener{}, &sqlite.Opener{}),
		signals: make(chan os.Signal, 3), log: &output.Buffer{},
	}
	o := &service.Options{
		Mux: r.mux, OpenStore: openStore, Signals: r.signals, Exit: func(int) { r.exits.Add(1) },
		Logger: slog.New(slog.NewTextHandler(r.log, nil)), Admin: service.NoAdmin, Name: "worker",
	}
	if change != nil {
		change(o)
	}
	var err error
	r.Service, err = service.New(r.conf, o)
	require.NoError(t, err)
	return r
}

// openStore opens what the tests name: memory, and SQLite by the path of a file.
func openStore(ctx context.Context, url string) (*opened.Store, error) {
	path, ok := strings.CutPrefix(url, "sqlite://")
	if !ok {
		return &opened.Store{Store: idempotency.NewMemory(), Closer: io.NopCloser(nil), Name: url}, nil
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	s, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err != nil {
		return nil, err
	}
	return &opened.Store{Store: s, SQL: s, Closer: db, Name: url}, s.Migrate(ctx)
}

func (r *rig) send(t *testing.T, queue string, ms ...*handler.Message) {
	t.Helper()
	sink, err := r.conf.OpenSink(t.Context(), r.mux, queue)
	require.NoError(t, err)
	require.NoError(t, errors.Join(sink.Send(t.Context(), ms)...))
	require.NoError(t, sink.Close())
}

// run runs the service until the function that it returns has stopped it.
func (r *rig) run(t *testing.T) (stop func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(context.Background()) }()
	return func() error {
		r.signals <- os.Interrupt
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			t.Fatal("the service goes on: " + r.log.String())
			return nil
		}
	}
}

func body(s string) *handler.Message { return &handler.Message{Body: []byte(s)} }

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// admin waits for the address that the log names.
func (r *rig) admin(t *testing.T) string {
	t.Helper()
	var url string
	require.Eventually(t, func() bool {
		_, rest, ok := strings.Cut(r.log.String(), "admin=http")
		url, _, _ = strings.Cut(rest, "\n")
		return ok && strings.Contains(r.log.String(), "handling messages")
	}, patience, 5*time.Millisecond, r.log)
	return "http" + url
}

// One service runs two queues as the configuration says, and stops at a signal.
func TestAConfigurationBecomesAProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t, `
service: {pprof: true}
queues:
  orders:
    url: mem://orders
    dead_letter: {max_attempts: 5}
    consumer: {concurrency: 4, timeout: 10s, retry: {min: 1ms, max: 2ms, max_attempts: 3}, idempotency: {store: "mem://", key: "attribute:order"}}
  emails:
    url: mem://emails
    consumer: {heartbeat: false, rate_limit: {rate: 1000/s}, bulkhead: {limit: 2, key: "attribute:to"}, breaker: {min_count: 100}}
  idle: {url: mem://idle}
`, func(o *service.Options) { o.Admin, o.Telemetry = "0", telemetry.Setup })
	var orders, emails, failed atomic.Int32
	r.Handle("orders", handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		if string(m.Body) == "bad" {
			failed.Add(1)
			return errors.New("no luck")
		}
		orders.Add(1)
		return nil
	}))
	r.Handle("emails", handler.HandlerFunc(func(context.Context, *handler.Message) error { emails.Add(1); return nil }))
	order := func(id, text string) *handler.Message {
		return &handler.Message{Body: []byte(text), Attributes: map[string]string{"order": id}}
	}
	r.send(t, "orders", order("1", "good"), order("1", "good"), order("2", "bad"))
	r.send(t, "emails", body("a"), body("b"))
	stop := r.run(t)
	url := r.admin(t)
	require.Eventually(t, func() bool {
		_, metrics := get(t, url+"/metrics")
		return failed.Load() == 3 && emails.Load() == 2 &&
			regexp.MustCompile(`(?m)^sluice_messages_duplicates_total\{.* 1$`).MatchString(metrics)
	}, patience, 5*time.Millisecond, r.log)
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		status, text := get(t, url+path)
		require.Equal(t, http.StatusOK, status, path)
		require.Contains(t, text, `"queue":"emails"`)
		require.Contains(t, text, `"queue":"orders"`)
	}
	status, text := get(t, url+"/debug/pprof/goroutine?debug=1")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "service.")
	_, text = get(t, url+"/debug/pprof/")
	require.Contains(t, text, "profile\n")
	status, _ = get(t, url+"/debug/pprof/profile?seconds=0.01")
	require.Equal(t, http.StatusOK, status)
	status, _ = get(t, url+"/debug/pprof/profile?seconds=0")
	require.Equal(t, http.StatusBadRequest, status)
	require.NoError(t, stop())
	require.EqualValues(t, 1, orders.Load(), "a duplicate is handled once")
	require.Equal(t, consumer.HealthStopped, r.Health().Status)
	var lines []string
	for line := range strings.Lines(r.log.String()) {
		for _, text := range []string{"starting", "handling messages", "stopping", "drained"} {
			if strings.Contains(line, `msg=`+text) || strings.Contains(line, `msg="`+text) {
				lines = append(lines, text)
			}
		}
	}
	require.Equal(t, []string{"starting", "handling messages", "handling messages", "stopping", "drained"}, lines)
	require.Contains(t, r.log.String(), `queue=orders concurrency=4 with="retry=1ms..2ms, max_attempts=3, idempotency=mem://, timeout=10s, heartbeat"`)
	require.Contains(t, r.log.String(), `queue=emails concurrency=16 with="breaker, bulkhead=2 by attribute:to, rate_limit=1000/s"`)
	require.Contains(t, r.log.String(), "acked=4 retried=2 rejected=1 duplicates=1")
	require.NotContains(t, r.log.String(), "idle")
}

// The marks of two queues have the name of the queue at its provider, which here is the same:
// an order's mail would count as a duplicate of the order.
func TestQueuesOfOneNameThatShareAStore(t *testing.T) {
	t.Parallel()
	for file, warned := range map[string]bool{"marks.db": true, "others.db": false} {
		r := newRig(t, `
queues:
  orders: {url: "sqlite://${DIR}/orders.db", consumer: {idempotency: {store: "sqlite://${DIR}/marks.db"}}}
  emails: {url: "sqlite://${DIR}/emails.db", consumer: {idempotency: {store: "sqlite://${DIR}/`+file+`"}}}
`, func(o *service.Options) { o.UntilEmpty = true })
		for _, queue := range []string{"orders", "emails"} {
			r.Handle(queue, handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
		}
		require.NoError(t, r.Run(t.Context()))
		require.Equal(t, warned, strings.Contains(r.log.String(), "queue=emails other=orders name=default store="), file)
	}
}

// The handler's effect and the mark commit together, by configuration.
func TestTransactionsByConfiguration(t *testing.T) {
	t.Parallel()
	r := newRig(t, `
queues:
  orders:
    url: sqlite://${DIR}/q.db?queue=orders
    consumer: {idempotency: {store: "sqlite://${DIR}/shop.db", transactional: true}, retry: {min: 1ms, max: 1ms}}
`, func(o *service.Options) { o.UntilEmpty = true })
	q, err := r.conf.Queue("orders")
	require.NoError(t, err)
	store, err := openStore(t.Context(), q.Consumer.Idempotency.Store)
	require.NoError(t, err)
	db := store.Closer.(*sql.DB)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE charges (body TEXT)")
	require.NoError(t, err)
	var tries atomic.Int32
	r.Handle("orders", handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if _, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO charges VALUES ($1)", m.Body); err != nil {
			return err
		}
		if tries.Add(1) == 1 {
			return errors.New("after the effect")
		}
		return nil
	}))
	r.send(t, "orders", &handler.Message{Body: []byte("a"), DedupeID: "same"}, &handler.Message{Body: []byte("a"), DedupeID: "same"})
	require.NoError(t, r.Run(t.Context()))
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM charges").Scan(&n))
	require.Equal(t, 1, n)
	require.EqualValues(t, 2, tries.Load())
}

// A part of the stack has one owner.
func TestTheProgramAndTheConfigurationContradict(t *testing.T) {
	t.Parallel()
	const text = `
queues:
  q:
    url: mem://q
    retry: {min: 1s}
    consumer: {timeout: 1s, heartbeat: false, bulkhead: {limit: 1, key: group}, idempotency: {store: "mem://"}, retry: {max_attempts: 3}}
`
	with := func(handler.Handler) handler.Handler { return nil }
	for name, c := range map[string]struct {
		own  middleware.Config
		want string
	}{
		"timeout":      {middleware.Config{Timeout: time.Second}, "middleware.Config.Timeout, and the configuration consumer.timeout"},
		"heartbeat":    {middleware.Config{Heartbeat: &heartbeat.Config{}}, "middleware.Config.Heartbeat, and the configuration consumer.heartbeat"},
		"bulkhead":     {middleware.Config{Bulkhead: with}, "middleware.Config.Bulkhead, and the configuration consumer.bulkhead"},
		"idempotency":  {middleware.Config{Idempotency: with}, "middleware.Config.Idempotency, and the configuration consumer.idempotency"},
		"delays":       {middleware.Config{Backoff: &backoff.Config{Min: time.Second}}, "middleware.Config.Backoff, and the configuration retry"},
		"max attempts": {middleware.Config{Backoff: &backoff.Config{MaxAttempts: 2}}, "middleware.Config.Backoff.MaxAttempts, and the configuration consumer.retry.max_attempts"},
		"logger":       {middleware.Config{Logger: slog.New(slog.DiscardHandler)}, "middleware.Config.Logger: set service.Options.Logger"},
		"telemetry":    {middleware.Config{Telemetry: with}, "middleware.Config.Telemetry: set service.Options.Telemetry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, text, func(o *service.Options) {
				o.Middleware = func(*config.Queue) (*middleware.Config, error) { return &c.own, nil }
			})
			r.Handle("q", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
			err := r.Run(t.Context())
			require.ErrorContains(t, err, c.want)
			require.Equal(t, service.StatusUsage, service.ExitStatus(err))
			if strings.Contains(c.want, "and the configuration") {
				require.ErrorContains(t, err, "sluice.yaml:", "the line is named")
			}
		})
	}
}

func TestFaultsBeforeTheStart(t *testing.T) {
	t.Parallel()
	ok := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	for name, c := range map[string]struct {
		text    string
		change  func(o *service.Options)
		handle  func(r *rig)
		want    string
		failure bool // not a fault of usage
	}{
		"no handler":    {handle: func(*rig) {}, want: "no queue has a handler"},
		"unknown queue": {handle: func(r *rig) { r.Handle("p", ok) }, want: `unknown queue "p"`},
		"two handlers":  {handle: func(r *rig) { r.Handle("q", ok); r.Handle("q", ok) }, want: `queue "q" has two handlers`},
		"one queue twice": {text: "queues: {q: {url: 'mem://q'}, p: {url: 'mem://q'}}", handle: func(r *rig) { r.Handle("q", ok); r.Handle("p", ok) },
			want: `the queues "q" and "p" are one queue (mem://q)`},
		"the store's file": {text: "queues: {q: {url: 'sqlite://${DIR}/shop.db?queue=q', consumer: {idempotency: {store: 'sqlite://${DIR}/./shop.db', transactional: true}}}}",
			want: `is in the file of the queue "q"`},
		"a store's file, of another queue": {
			text:   "queues: {q: {url: 'mem://q', consumer: {idempotency: {store: 'sqlite://${DIR}/shop.db', transactional: true}}}, p: {url: 'sqlite:${DIR}/shop.db'}}",
			handle: func(r *rig) { r.Handle("q", ok); r.Handle("p", ok) }, want: `is in the file of the queue "p"`},
		"nil handler":     {handle: func(r *rig) { r.Handle("q", nil) }, want: `queue "q": `},
		"unknown scheme":  {text: "queues: {q: {url: 'nope://q'}}", want: "unknown scheme"},
		"no stores":       {text: "queues: {q: {url: 'mem://q', consumer: {idempotency: {store: 'mem://'}}}}", change: func(o *service.Options) { o.OpenStore = nil }, want: "set service.Options.OpenStore"},
		"no SQL":          {text: "queues: {q: {url: 'mem://q', consumer: {idempotency: {store: 'mem://', transactional: true}}}}", want: "needs a store in a SQL database"},
		"admin":           {change: func(o *service.Options) { o.Admin = "256.0.0.1:1" }, want: "service.admin in the configuration names another address", failure: true},
		"telemetry":       {change: func(o *service.Options) { o.Telemetry = noTelemetry }, want: "telemetry: no exporter", failure: true},
		"middleware":      {change: func(o *service.Options) { o.Middleware = noMiddleware }, want: `queue "q": no middleware`, failure: true},
		"wrong attribute": {change: func(o *service.Options) { o.Middleware = wrongMiddleware }, want: "NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := c.text
			if text == "" {
				text = "queues: {q: {url: 'mem://q'}}"
			}
			r := newRig(t, text, c.change)
			if c.handle == nil {
				c.handle = func(r *rig) { r.Handle("q", ok) }
			}
			c.handle(r)
			err := r.Run(t.Context())
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.failure, service.ExitStatus(err) == service.StatusFailed)
			require.ErrorIs(t, r.Run(t.Context()), service.ErrRunTwice)
		})
	}
	_, err := service.New(nil, &service.Options{StopTimeout: -1})
	require.ErrorContains(t, err, "Mux is nil")
	require.ErrorContains(t, err, "StopTimeout is -1ns")
	require.Equal(t, service.StatusUsage, service.ExitStatus(err))
}

func noTelemetry(context.Context, service.TelemetryConfig) (*service.Telemetry, error) {
	return nil, errors.New("no exporter")
}

func noMiddleware(*config.Queue) (*middleware.Config, error) { return nil, errors.New("no middleware") }

func wrongMiddleware(*config.Queue) (*middleware.Config, error) {
	nan := 0.0
	return &middleware.Config{Backoff: &backoff.Config{Multiplier: nan / nan}}, nil
}

// The second signal cuts off a handler that the first waits for.
func TestTheSecondSignalEndsTheDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "queues: {q: {url: 'mem://q'}, other: {url: 'mem://other'}}", nil)
	began := make(chan struct{})
	r.Handle("q", handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		close(began)
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	r.Handle("other", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	r.send(t, "q", body("x"))
	stop := r.run(t)
	<-began
	r.signals <- os.Interrupt
	require.Eventually(t, func() bool { return r.Health().Status == consumer.HealthDraining }, patience, time.Millisecond)
	err := stop()
	require.ErrorIs(t, err, consumer.ErrDrainTimeout)
	require.Equal(t, service.StatusFailed, service.ExitStatus(err))
	require.Zero(t, r.exits.Load())
	require.Contains(t, r.log.String(), "stopped before all was drained")
}

// The end of Run's context is a stop, not an abort.
func TestTheEndOfTheContextDrains(t *testing.T) {
	t.Parallel()
	r := newRig(t, "queues: {q: {url: 'mem://q'}}", nil)
	began, release := make(chan struct{}), make(chan struct{})
	r.Handle("q", handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		close(began)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}))
	r.send(t, "q", body("x"))
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-began
	end()
	require.Eventually(t, func() bool { return r.Health().Status == consumer.HealthDraining }, patience, time.Millisecond)
	close(release)
	require.NoError(t, <-ended)
	require.Contains(t, r.log.String(), "acked=1")
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	require.Equal(t, service.StatusDone, service.ExitStatus(nil))
	require.Equal(t, service.StatusFailed, service.ExitStatus(errors.New("x")))
	require.Equal(t, service.StatusUsage, service.ExitStatus(&config.Error{}))
	require.Equal(t, service.StatusUsage, service.ExitStatus(opened.ErrURL))
}
