// Package tracecontext gives handlers that pass a message on to another program
// the W3C trace context that goes with it.
package tracecontext

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
)

// Of returns the trace context under which m is handled: that of the current
// span in ctx, so that what the other program does hangs below the handling of
// the message; without a span, what the message's sender gave it as attributes.
// Both are empty if there is neither.
func Of(ctx context.Context, m *handler.Message) (parent, state string) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		parent = m.Attribute("traceparent")
		if parent == "" {
			return "", "" // a state without its parent means nothing
		}
		return parent, m.Attribute("tracestate")
	}
	fields := make(propagation.MapCarrier, 2)
	propagation.TraceContext{}.Inject(ctx, fields)
	return fields["traceparent"], fields["tracestate"]
}
