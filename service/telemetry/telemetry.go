// Package telemetry sets up OpenTelemetry for a service by its environment: OTLP if the
// standard variables ask for it (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER,
// OTEL_METRICS_EXPORTER, OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES …),
// and metrics for Prometheus if the service has a listener to serve them. Without either it
// costs nothing. It links the exporters, gRPC among them: a program that has telemetry of its
// own sets OpenTelemetry's global providers instead.
//
//	o := &service.Options{Mux: all.Mux(), Telemetry: telemetry.Setup}
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sluice-go/sluice/service"
)

// Setup sets telemetry up. Call Close in the end, whatever happens between.
func Setup(ctx context.Context, c service.TelemetryConfig) (*service.Telemetry, error) {
	res, err := resource.New(ctx,
		resource.WithAttributes(attributes(c)...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, err
	}
	s := &setup{resource: res, byOTLP: !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")}
	if err := errors.Join(s.traces(ctx), s.metrics(ctx, c.Scraped)); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	s.Close = s.close
	return &s.Telemetry, nil
}

func attributes(c service.TelemetryConfig) []attribute.KeyValue {
	as := []attribute.KeyValue{semconv.ServiceName(c.Name)}
	if c.Version != "" {
		as = append(as, semconv.ServiceVersion(c.Version))
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

// A setup is the telemetry that is being set up.
type setup struct {
	service.Telemetry
	resource *resource.Resource
	byOTLP   bool
	closers  []func(context.Context) error
}

// close sends what is left. ctx bounds how long that takes.
func (s *setup) close(ctx context.Context) error {
	var faults []error
	for _, f := range slices.Backward(s.closers) {
		faults = append(faults, f(ctx))
	}
	s.closers = nil
	return errors.Join(faults...)
}

func (s *setup) traces(ctx context.Context) error {
	if !s.byOTLP || !wanted("TRACES") {
		return nil
	}
	exporter, err := otlp{}.spanExporter(ctx)
	if err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(s.resource))
	s.TracerProvider = tp
	s.closers = append(s.closers, tp.Shutdown)
	return nil
}

func (s *setup) metrics(ctx context.Context, scraped bool) error {
	options := []sdkmetric.Option{sdkmetric.WithResource(s.resource)}
	if s.byOTLP && wanted("METRICS") {
		reader, err := otlp{}.metricReader(ctx)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	if scraped {
		registry := prometheus.NewRegistry()
		exporter, err := otelprom.New(otelprom.WithRegisterer(registry))
		if err != nil {
			return fmt.Errorf("prometheus: %w", err)
		}
		options = append(options, sdkmetric.WithReader(exporter))
		s.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry})
	}
	if len(options) == 1 {
		return nil
	}
	mp := sdkmetric.NewMeterProvider(options...)
	s.MeterProvider = mp
	s.closers = append(s.closers, mp.Shutdown)
	return nil
}
