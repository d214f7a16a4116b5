package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	otelglobal "go.opentelemetry.io/otel"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/middleware/otel"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

const (
	// exportEvery is the least time between two counts of a queue, and exportWait how
	// long a scrape waits for one: Prometheus gives up after ten seconds.
	exportEvery = 10 * time.Second
	exportWait  = 5 * time.Second
	// exportClose is how long the end of the exporter may take.
	exportClose = 5 * time.Second
)

// A depthExport serves the depths of queues to Prometheus.
type depthExport struct {
	addr string
	log  *slog.Logger
	open func(ctx context.Context, name string) (*counter, error)

	mu     sync.Mutex
	latest []*latest
}

// newDepthExport returns one that counts when it is scraped, at addr.
func newDepthExport(a *app, addr string, counters []*counter) *depthExport {
	x := &depthExport{addr: addr, log: a.log, open: (&depthCommand{app: a}).counter}
	for _, c := range counters {
		if !c.missing() {
			x.latest = append(x.latest, &latest{Source: c.source, Inspector: c.inspector})
		}
	}
	return x
}

// run serves until ctx is done. The missing queues are counted as soon as they can be
// opened.
func (x *depthExport) run(ctx context.Context, missing []string) (err error) {
	t, err := telemetry.Setup(ctx, service.TelemetryConfig{Name: "sluice", Version: readBuild().Version, Scraped: true})
	if err != nil {
		return fmt.Errorf("depth: telemetry: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportClose)
		defer cancel()
		err = errors.Join(err, t.Close(ctx))
	}()
	metrics, err := otel.New(&otel.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: t.MeterProvider})
	if err != nil {
		return fmt.Errorf("depth: telemetry: %w", err)
	}
	otelglobal.SetErrorHandler(otelglobal.ErrorHandlerFunc(func(err error) { x.log.Warn("a queue was not counted", "error", err) }))
	for _, l := range x.latest {
		stop, err := service.WatchDepth(metrics, l)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	later := &late{log: x.log, every: reopenEvery, open: func(ctx context.Context, name string) (func() error, error) {
		c, err := x.open(ctx, name)
		if err != nil {
			return nil, err
		}
		l := &latest{Source: c.source, Inspector: c.inspector}
		stop, err := service.WatchDepth(metrics, l)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.latest = append(x.latest, l)
		return func() error { return errors.Join(stop(), c.Close()) }, nil
	}}
	stop := later.start(ctx, missing)
	defer func() { err = errors.Join(err, stop()) }()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", x.before(t.Metrics))
	if err := x.serve(ctx, mux); err != nil {
		return fmt.Errorf("depth: --metrics: %w", err)
	}
	return nil
}

func (x *depthExport) serve(ctx context.Context, h http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", service.Loopback(x.addr))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: exportWait}
	defer context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportClose)
		defer cancel()
		_ = s.Shutdown(ctx) // a scrape that goes on is cut off with the process
	})()
	x.log.Info("serving the depth of queues to Prometheus", "queues", len(x.latest), "url", "http://"+l.Addr().String()+"/metrics")
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// before counts all queues before a request is served, at the same time: one after the
// other, those of many queues would take longer than a scrape may.
func (x *depthExport) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), exportWait)
		defer cancel()
		var group sync.WaitGroup
		x.mu.Lock()
		all := slices.Clone(x.latest)
		x.mu.Unlock()
		for _, l := range all {
			group.Go(func() { l.count(ctx) })
		}
		group.Wait()
		next.ServeHTTP(w, r)
	})
}

// latest is a source whose Depth is the latest count. Its methods may be called
// concurrently.
type latest struct {
	drivers.Source
	drivers.Inspector

	counting sync.Mutex // held while the provider is asked
	mu       sync.Mutex
	at       time.Time
	depth    drivers.Depth
	err      error
}

// count asks the provider, unless it was asked a moment ago.
func (l *latest) count(ctx context.Context) {
	l.counting.Lock()
	defer l.counting.Unlock()
	l.mu.Lock()
	fresh := !l.at.IsZero() && time.Since(l.at) < exportEvery
	l.mu.Unlock()
	if fresh {
		return
	}
	depth, err := drivers.ReadDepth(ctx, l.Inspector)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.depth, l.err, l.at = depth, err, time.Now()
}

// Depth implements drivers.Inspector.
func (l *latest) Depth(context.Context) (drivers.Depth, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() {
		return l.depth, errors.New("not counted yet")
	}
	return l.depth, l.err
}
