package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

// flushTime bounds how long spans and metrics that are left may take.
const flushTime = 1500 * time.Millisecond

// A tracer gives each message that is sent a span of its own, and the message
// the span's traceparent. The spans are exported if the environment says so;
// elsewhere they are made for their IDs alone.
type tracer struct {
	log       *slog.Logger
	telemetry *service.Telemetry
	hook      func(context.Context, *handler.Message) error
	// send is the hook around a request, or nil.
	send func(context.Context, []*handler.Message, func(context.Context, []*handler.Message) []error) []error
}

// newTracer returns a tracer for a queue, or one that does nothing where tracing
// is not wanted.
func newTracer(ctx context.Context, log *slog.Logger, wanted bool, c drivers.Capabilities) (*tracer, error) {
	if !wanted {
		return &tracer{}, nil
	}
	t, err := telemetry.Setup(ctx, service.TelemetryConfig{Name: "sluice", Version: readBuild().Version})
	if err != nil {
		return nil, err
	}
	config := &otel.Config{TracerProvider: t.TracerProvider, MeterProvider: t.MeterProvider}
	if config.TracerProvider == nil {
		config.TracerProvider = sdktrace.NewTracerProvider()
	}
	if config.MeterProvider == nil {
		config.MeterProvider = noop.NewMeterProvider()
	}
	o, err := otel.New(config)
	if err != nil {
		return nil, errors.Join(err, t.Close(ctx))
	}
	origin := handler.Origin{Queue: c.Queue, System: c.System, Server: c.Server}
	prepare := o.Prepare(origin, otel.Room{Attributes: c.MaxAttributes, Bytes: c.MaxMessageBytes})
	// The convention for programs that are started within a trace.
	parent := propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE")}
	return &tracer{log: log, telemetry: t, send: o.Send(origin), hook: func(ctx context.Context, m *handler.Message) error {
		err := prepare(propagation.TraceContext{}.Extract(ctx, parent), m)
		log.Debug("trace", "traceparent", m.Attribute("traceparent"))
		return err
	}}, nil
}

func (t *tracer) prepare() []func(context.Context, *handler.Message) error {
	if t.hook == nil {
		return nil
	}
	return []func(context.Context, *handler.Message) error{t.hook}
}

// close exports what is left.
func (t *tracer) close() {
	if t.telemetry != nil {
		shutdown(t.log, t.telemetry)
	}
}

// shutdown ends telemetry within flushTime. The command's own context may have
// ended. A failure to export is logged; it does not change the exit status.
func shutdown(log *slog.Logger, t *service.Telemetry) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("telemetry was not exported to the end", "error", err)
	}
}
