package otel

import (
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Config says where telemetry goes. The zero Config uses OpenTelemetry's global
// providers.
type Config struct {
	// TracerProvider makes spans. Nil means the global one.
	TracerProvider trace.TracerProvider
	// MeterProvider makes metrics. Nil means the global one.
	MeterProvider metric.MeterProvider
	// Baggage enables reading baggage from messages and writing it into them. The sender
	// chooses it: do not base trust on it.
	Baggage bool
	// XRay has AWSTraceHeader written besides traceparent, for consumers that
	// know only X-Ray. SQS carries it outside the ten attributes.
	XRay bool
	// PubSub has googclient_traceparent and googclient_tracestate written besides
	// W3C's names, for consumers on Google's own Pub/Sub clients, which read no
	// others. They count as attributes as any do.
	PubSub bool
}
