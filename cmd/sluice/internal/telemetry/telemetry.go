// Package telemetry sets up OpenTelemetry for a program: Prometheus over HTTP
// if an address is given, OTLP if the standard environment variables say
// so (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER,
// OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES …). Without
// either it costs nothing. Only programs import it: it links the exporters.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Options say what a program wants besides what its environment says.
type Options struct {
	// MetricsAddr is where Prometheus metrics are served, at /metrics: host and
	// port, or a port alone, which is then on the loopback interface. Empty
	// serves none. Port 0 takes a free one.
	MetricsAddr string
	// Health, Live and Ready are served at /healthz, /livez and /readyz beside
	// the metrics. Nil serves none.
	Health, Live, Ready http.Handler
	// ServiceName is the service's name where OTEL_SERVICE_NAME gives none.
	ServiceName string
	// Version is the service's version.
	Version string
}

// Telemetry is what was set up.
type Telemetry struct {
	// TracerProvider and MeterProvider are never nil.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Addr is where metrics are served, "" where they are not.
	Addr string
	// Enabled is true where spans or metrics go anywhere.
	Enabled bool

	closers []func(context.Context) error
}

// Setup sets telemetry up. Call Shutdown in the end, whatever happens between.
func Setup(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}
	res, err := resource.New(ctx,
		resource.WithAttributes(attributes(o)...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	byOTLP := !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")
	if err := errors.Join(t.traces(ctx, res, byOTLP), t.metrics(ctx, res, byOTLP, o)); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	return t, nil
}

// Shutdown sends what is left and stops serving. ctx bounds how long that takes.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var faults []error
	for i := len(t.closers) - 1; i >= 0; i-- {
		faults = append(faults, t.closers[i](ctx))
	}
	t.closers = nil
	return errors.Join(faults...)
}

func attributes(o Options) []attribute.KeyValue {
	as := []attribute.KeyValue{semconv.ServiceName(o.ServiceName)}
	if o.Version != "" {
		as = append(as, semconv.ServiceVersion(o.Version))
	}
	return as
}

// wanted reports whether the environment asks for a signal's export. Without any
// of these variables a program must not try to reach a collector that nobody
// runs, as the specification's default would.
func wanted(signal string) bool {
	switch v := os.Getenv("OTEL_" + signal + "_EXPORTER"); v {
	case "none":
		return false
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
	default:
		return true
	}
}

func (t *Telemetry) traces(ctx context.Context, res *resource.Resource, byOTLP bool) error {
	if !byOTLP || !wanted("TRACES") {
		return nil
	}
	exporter, err := otlp{}.spanExporter(ctx)
	if err != nil {
		return fmt.Errorf("telemetry: traces: %w", err)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	t.TracerProvider, t.Enabled = tp, true
	t.closers = append(t.closers, tp.Shutdown)
	return nil
}

func (t *Telemetry) metrics(ctx context.Context, res *resource.Resource, byOTLP bool, o Options) error {
	options := []sdkmetric.Option{sdkmetric.WithResource(res)}
	if byOTLP && wanted("METRICS") {
		reader, err := otlp{}.metricReader(ctx)
		if err != nil {
			return fmt.Errorf("telemetry: metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	if o.MetricsAddr != "" {
		registry := prometheus.NewRegistry()
		exporter, err := otelprom.New(otelprom.WithRegisterer(registry))
		if err != nil {
			return fmt.Errorf("telemetry: prometheus: %w", err)
		}
		options = append(options, sdkmetric.WithReader(exporter))
		if err := t.serve(ctx, o, registry); err != nil {
			return err
		}
	}
	if len(options) == 1 {
		return nil
	}
	mp := sdkmetric.NewMeterProvider(options...)
	t.MeterProvider, t.Enabled = mp, true
	t.closers = append(t.closers, mp.Shutdown)
	return nil
}

func (t *Telemetry) serve(ctx context.Context, o Options, registry *prometheus.Registry) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", Loopback(o.MetricsAddr))
	if err != nil {
		return fmt.Errorf("telemetry: metrics address: %w", err)
	}
	t.Addr = l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	for path, h := range map[string]http.Handler{"/healthz": o.Health, "/livez": o.Live, "/readyz": o.Ready} {
		if h != nil {
			mux.Handle("GET "+path, h)
		}
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.closers = append(t.closers, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return nil
}

// Loopback returns an address to listen on: one that names no host is on the
// loopback interface, so that nothing is open to a network by oversight.
func Loopback(addr string) string {
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	if strings.HasPrefix(addr, ":") {
		return "127.0.0.1" + addr
	}
	return addr
}
