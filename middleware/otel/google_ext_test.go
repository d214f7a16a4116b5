package otel_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/api/googleapi"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

// A googleapi.Error has its status in a field: throttled, denied and unavailable are
// three values, not one Go type.
func TestErrorTypesOfGooglesClients(t *testing.T) {
	for _, code := range []int{403, 429, 503} {
		spans := tracetest.NewSpanRecorder()
		tel, err := otel.New(&otel.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), MeterProvider: sdkmetric.NewMeterProvider()})
		require.NoError(t, err)
		h := tel.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error {
			return fmt.Errorf("insert: %w", &googleapi.Error{Code: code})
		}))
		require.Error(t, h.Handle(t.Context(), &handler.Message{ID: "1"}))
		var got string
		for _, a := range spans.Ended()[0].Attributes() {
			if a.Key == "error.type" {
				got = a.Value.AsString()
			}
		}
		require.Equal(t, fmt.Sprint(code), got)
	}
}
