package otel

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/contrib/propagators/aws/xray"
	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
)

// Scope is the name of the instrumentation scope.
const Scope = "github.com/sluice-go/sluice/middleware/otel"

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

// Telemetry makes spans and metrics. It may be used concurrently.
type Telemetry struct {
	tracer      trace.Tracer
	meter       metric.Meter
	propagator  propagation.TextMapPropagator
	xray        xray.Propagator
	writeXRay   bool
	writePubSub bool
	baggage     bool
	instruments

	mu      sync.RWMutex
	origins map[handler.Origin]*labels
}

// New returns a Telemetry. A nil config is the zero [Config]. It returns an
// error where the meter refuses an instrument.
func New(c *Config) (*Telemetry, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	if cfg.TracerProvider == nil {
		cfg.TracerProvider = global.GetTracerProvider()
	}
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = global.GetMeterProvider()
	}
	t := &Telemetry{
		tracer:     cfg.TracerProvider.Tracer(Scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:      cfg.MeterProvider.Meter(Scope, metric.WithSchemaURL(semconv.SchemaURL)),
		propagator: propagation.TraceContext{},
		writeXRay:  cfg.XRay, writePubSub: cfg.PubSub,
		origins: make(map[handler.Origin]*labels),
	}
	if cfg.Baggage {
		t.baggage = true
		t.propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	var err error
	t.instruments, err = newInstruments(t.meter)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// instruments are all that Telemetry counts with.
type instruments struct {
	processDuration, operationDuration                    metric.Float64Histogram
	consumed, sent                                        metric.Int64Counter
	settled, retried, released, duplicates                metric.Int64Counter
	extensions, losses, late, unroutable, receiveFailures metric.Int64Counter
	inFlight, storesDown                                  metric.Int64UpDownCounter
}

// durationBuckets are those that the conventions advise, in seconds.
var durationBuckets = metric.WithExplicitBucketBoundaries(
	0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

func newInstruments(m metric.Meter) (instruments, error) {
	var (
		i      instruments
		faults []error
	)
	histogram := func(name, about string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(about), durationBuckets)
		faults = append(faults, err)
		return h
	}
	counter := func(name, unit, about string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
		faults = append(faults, err)
		return c
	}
	i.processDuration = histogram("messaging.process.duration", "Duration of processing operation.")
	i.operationDuration = histogram("messaging.client.operation.duration", "Duration of messaging operation initiated by a producer or consumer client.")
	i.consumed = counter("messaging.client.consumed.messages", "{message}", "Number of messages that were delivered to the application.")
	i.sent = counter("messaging.client.sent.messages", "{message}", "Number of messages producer attempted to send to the broker.")
	i.settled = counter("sluice.messages.settled", "{message}", "Messages whose verdict was carried out, by verdict.")
	i.retried = counter("sluice.messages.retried", "{message}", "Messages that are to be delivered again.")
	i.released = counter("sluice.messages.released", "{message}", "Messages that were given back unhandled.")
	i.duplicates = counter("sluice.messages.duplicates", "{message}", "Messages that were found to be handled already.")
	i.extensions = counter("sluice.lease.extensions", "{extension}", "Extensions of leases, with error.type where one was refused.")
	i.losses = counter("sluice.lease.losses", "{lease}", "Leases that were lost while their handler ran.")
	i.late = counter("sluice.verdicts.late", "{message}", "Verdicts that came after the lease was lost and were not carried out.")
	i.unroutable = counter("sluice.rejections.unroutable", "{message}", "Rejected messages that are retried because there is no dead-letter queue.")
	i.receiveFailures = counter("sluice.receive.failures", "{failure}", "Receives that failed.")
	inFlight, err := m.Int64UpDownCounter("sluice.messages.in_flight", metric.WithUnit("{message}"), metric.WithDescription("Messages whose handler runs."))
	i.inFlight = inFlight
	faults = append(faults, err)
	i.storesDown, err = m.Int64UpDownCounter("sluice.stores.down", metric.WithUnit("{store}"), metric.WithDescription("Stores of middleware that do not answer, by sluice.store."))
	return i, errors.Join(append(faults, err)...)
}

// labels are the attributes of one queue, made once.
type labels struct {
	queue   string
	name    string // of the process span
	start   []trace.SpanStartOption
	base    []attribute.KeyValue
	receive []attribute.KeyValue // consumers' base with the operation
	process []attribute.KeyValue
	settle  []attribute.KeyValue

	plain    metric.MeasurementOption
	received metric.MeasurementOption
	handled  metric.MeasurementOption
	verdicts [4]metric.MeasurementOption
}

// labelsOf returns the labels of a queue. A program has few queues, so they are
// kept for good.
func (t *Telemetry) labelsOf(o handler.Origin) *labels {
	t.mu.RLock()
	l := t.origins[o]
	t.mu.RUnlock()
	if l != nil {
		return l
	}
	l = newLabels(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	if won := t.origins[o]; won != nil {
		return won
	}
	t.origins[o] = l
	return l
}

const (
	verdictKey = attribute.Key("sluice.verdict")
	attemptKey = attribute.Key("sluice.attempt")
	stateKey   = attribute.Key("sluice.state")
	storeKey   = attribute.Key("sluice.store")
)

func newLabels(o handler.Origin) *labels {
	l := &labels{queue: o.Queue, name: "process " + o.Queue, base: make([]attribute.KeyValue, 0, 4)}
	if o.System != "" {
		l.base = append(l.base, semconv.MessagingSystemKey.String(o.System))
	}
	l.base = append(l.base, semconv.MessagingDestinationName(o.Queue))
	if o.Server != "" {
		l.base = append(l.base, semconv.ServerAddress(o.Server))
	}
	consumer := l.base
	if o.System == semconv.MessagingSystemGCPPubSub.Value.AsString() {
		// A consumer's queue is a subscription there. The topic is not known to it.
		consumer = with(l.base, semconv.MessagingDestinationSubscriptionName(o.Queue))
	}
	l.receive = with(consumer, semconv.MessagingOperationName("receive"), semconv.MessagingOperationTypeReceive)
	l.process = with(consumer, semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess)
	l.settle = with(consumer, semconv.MessagingOperationName("settle"), semconv.MessagingOperationTypeSettle)
	l.start = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(l.process...)}
	l.plain = metric.WithAttributeSet(attribute.NewSet(l.base...))
	l.received = metric.WithAttributeSet(attribute.NewSet(l.receive...))
	l.handled = metric.WithAttributeSet(attribute.NewSet(l.process...))
	for a := range l.verdicts {
		l.verdicts[a] = metric.WithAttributeSet(attribute.NewSet(
			with(l.base, verdictKey.String(handler.Action(a).String()))...))
	}
	return l
}

// with returns a new slice, so that a shared base is never written into.
func with(base []attribute.KeyValue, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(base[:len(base):len(base)], more...)
}

// failed returns base with the error's type.
func failed(base []attribute.KeyValue, err error) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(with(base, errorType(err))...))
}

// Observe implements handler.Observer.
func (t *Telemetry) Observe(e handler.Event) {
	switch e.Kind {
	case handler.EventStoreDown, handler.EventStoreUp:
		t.store(e)
		return
	}
	var o handler.Origin
	if e.Origin != nil {
		o = *e.Origin
	}
	l := t.labelsOf(o)
	ctx := context.Background()
	n := int64(max(e.N, 1))
	switch e.Kind {
	case handler.EventReceived:
		t.consumed.Add(ctx, n, l.received)
		t.operationDuration.Record(ctx, e.Duration.Seconds(), l.received)
	case handler.EventReceiveFailed:
		t.receiveFailures.Add(ctx, n, failed(l.base, e.Err))
		t.operationDuration.Record(ctx, e.Duration.Seconds(), failed(l.receive, e.Err))
	case handler.EventStarted:
		t.inFlight.Add(ctx, n, l.plain)
	case handler.EventHandled:
		t.inFlight.Add(ctx, -n, l.plain)
	case handler.EventSettled:
		t.settle(ctx, l, e)
		if e.Err != nil {
			return
		}
		t.settled.Add(ctx, n, l.verdicts[min(int(e.Action), len(l.verdicts)-1)])
		if e.Action == handler.ActionRetry {
			t.retried.Add(ctx, n, l.plain)
		}
	case handler.EventExtended:
		option := l.plain
		if e.Err != nil {
			option = failed(l.base, e.Err)
		}
		t.extensions.Add(ctx, n, option)
	case handler.EventLeaseLost:
		t.losses.Add(ctx, n, l.plain)
	case handler.EventLateVerdict:
		t.late.Add(ctx, n, l.plain)
	case handler.EventReleased:
		t.released.Add(ctx, n, l.plain)
	case handler.EventNoDeadLetter:
		t.unroutable.Add(ctx, n, l.plain)
	case handler.EventDuplicate:
		t.duplicates.Add(ctx, n, l.plain)
	}
}

// store counts the stores that are down.
func (t *Telemetry) store(e handler.Event) {
	n := int64(1)
	if e.Kind == handler.EventStoreUp {
		n = -1
	}
	t.storesDown.Add(context.Background(), n, metric.WithAttributes(storeKey.String(e.Store)))
}
