package service

import (
	"context"
	"net/http"

	otelglobal "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-go/sluice/middleware/otel"
)

// TelemetryConfig is what telemetry is set up for.
type TelemetryConfig struct {
	// Name and Version are the service's, unless the environment has others.
	Name, Version string
	// Scraped asks for [Telemetry].Metrics: there is a listener to serve it.
	Scraped bool
}

// Telemetry is where spans and metrics go.
type Telemetry struct {
	// TracerProvider makes spans, and MeterProvider metrics. Nil makes none.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Metrics is served at /metrics. Nil serves none.
	Metrics http.Handler
	// Close sends what is left, until ctx is done. Nil does nothing.
	Close func(ctx context.Context) error
}

// Enabled reports whether spans or metrics go anywhere.
func (t *Telemetry) Enabled() bool { return t.TracerProvider != nil || t.MeterProvider != nil }

// middleware returns the telemetry of the queues, nil if nothing goes anywhere.
func (t *Telemetry) middleware() (*otel.Telemetry, error) {
	if !t.Enabled() {
		return nil, nil
	}
	c := &otel.Config{TracerProvider: t.TracerProvider, MeterProvider: t.MeterProvider}
	if c.TracerProvider == nil {
		c.TracerProvider = tracenoop.NewTracerProvider()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = metricnoop.NewMeterProvider()
	}
	return otel.New(c)
}

// global is the telemetry of OpenTelemetry's global providers, which the program sets.
func global(context.Context, TelemetryConfig) (*Telemetry, error) {
	return &Telemetry{TracerProvider: otelglobal.GetTracerProvider(), MeterProvider: otelglobal.GetMeterProvider()}, nil
}
