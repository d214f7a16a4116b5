package tracecontext_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/internal/tracecontext"
)

func TestTheCurrentSpanGoesOutRatherThanTheSenders(t *testing.T) {
	state, err := trace.ParseTraceState("vendor=1")
	require.NoError(t, err)
	span := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state,
	}))
	const current, sent = "00-01000000000000000000000000000000-0200000000000000-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct {
		name          string
		ctx           context.Context
		attributes    map[string]string
		parent, state string
	}{
		{"neither", t.Context(), nil, "", ""},
		{"a sender's", t.Context(), map[string]string{"traceparent": sent, "tracestate": "a=b"}, sent, "a=b"},
		{"a state alone", t.Context(), map[string]string{"tracestate": "a=b"}, "", ""},
		{"a span", span, nil, current, "vendor=1"},
		{"both", span, map[string]string{"traceparent": sent, "tracestate": "a=b"}, current, "vendor=1"},
	} {
		parent, state := tracecontext.Of(c.ctx, &handler.Message{Attributes: c.attributes})
		require.Equal(t, c.parent, parent, c.name)
		require.Equal(t, c.state, state, c.name)
	}
}
