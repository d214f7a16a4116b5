// Package tracecontext gives handlers that pass a message on to another program
// the W3C trace context that goes with it.
package tracecontext

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
)

// Of returns the trace context under which m is handled. It is that of the
// current span in ctx, so that the spans of the other program are children of
// the handling of the message, or, without a span, the one in the message's
// attributes. Both are empty if there is neither.
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
