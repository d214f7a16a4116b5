package otel_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

// failing is a span processor that fails in OnEnd.
type failing struct {
	sdktrace.SpanProcessor
	fail func()
}

func (f failing) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (f failing) OnEnd(sdktrace.ReadOnlySpan)                     { f.fail() }

// exits is an error whose method ends its goroutine.
type exits struct{}

func (exits) Error() string { return "exits" }
func (exits) Unwrap() error { runtime.Goexit(); return nil }

// Telemetry never changes a verdict: neither a span processor nor an error's method that
// panics or ends its goroutine ends the handler's.
func TestTelemetryKeepsTheVerdict(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(){"works": func() {}, "panics": func() { panic("boom") }, "ends its goroutine": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(failing{fail: fail}))
			tel, err := otel.New(&otel.Config{TracerProvider: tp})
			require.NoError(t, err)
			for _, verdict := range []error{nil, boom, exits{}} {
				one := tel.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return verdict }))
				many := tel.Batch(handler.BatchHandlerFunc(func(context.Context, []*handler.Message) []error { return []error{verdict, nil} }))
				returned := false
				var all []error
				done := make(chan struct{})
				go func() {
					defer close(done)
					err = one.Handle(t.Context(), &handler.Message{})
					all = many.HandleBatch(t.Context(), []*handler.Message{{}, {}})
					returned = true
				}()
				<-done
				require.True(t, returned, "the verdict %v is lost", verdict)
				require.Equal(t, verdict, err)
				require.Equal(t, []error{verdict, nil}, all)
			}
		})
	}
}
