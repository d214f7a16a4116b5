package otel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"go.opentelemetry.io/otel/codes"

	"go.opentelemetry.io/otel/baggage"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// scope is the name of the instrumentation scope.
const scope = "github.com/sluice-go/sluice/middleware/otel"

// Telemetry makes spans and metrics. It may be used concurrently.
type Telemetry struct {
	inline      //nolint:unused // internal/invoke looks for its method: a meter does not end its goroutine
	tracer      trace.Tracer
	meter       metric.Meter
	propagator  propagation.TextMapPropagator
	writeXRay   bool
	writePubSub bool
	baggage     bool
	instruments
	kinds errorKinds

	mu      sync.RWMutex
	origins map[handler.Origin]*labels
}

// inline keeps the name of the embedded field to this package.
type inline = invoke.Inline //nolint:unused // it is embedded

// New returns a Telemetry. A nil config is the zero [Config]. It returns an
// error if the meter refuses an instrument.
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
		tracer:     cfg.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:      cfg.MeterProvider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
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

// labelsOf returns the labels of a queue. A program has few queues, so they are
// kept for good.
func (t *Telemetry) labelsOf(o handler.Origin) *labels {
	o.MaxDelay = 0 // the same queue, whoever describes it
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
	// deliveryKey is first, retry, or unknown if the queue does not count attempts.
	deliveryKey = attribute.Key("sluice.delivery")
	// ageKey is who knows the age of the oldest message: the provider has reported it,
	// or it is that of messages which this process has received.
	ageKey = attribute.Key("sluice.age")
)

// Expect makes the counters of a queue that is consumed start at zero, each outcome by
// itself, rather than with its first event: an increase is the difference to an earlier
// sample, so that the first event of a counter without one is not seen. The first event
// of a queue does the same, and a later call nothing.
func (t *Telemetry) Expect(o handler.Origin) {
	l := t.labelsOf(o)
	l.begin.Do(func() { t.begin(l) })
}

// ExpectStore makes a store, such as that of the idempotency middleware, count as up
// until an event says otherwise. name is the one that the store's events have.
func (t *Telemetry) ExpectStore(name string) {
	t.storesDown.Add(context.Background(), 0, metric.WithAttributes(storeKey.String(name)))
}

// begin adds zero to the counters of a consumer.
func (t *Telemetry) begin(l *labels) {
	ctx := context.Background()
	t.consumed.Add(ctx, 0, l.received)
	t.inFlight.Add(ctx, 0, l.plain)
	for _, option := range l.verdicts {
		t.settled.Add(ctx, 0, option)
	}
	for _, c := range [...]metric.Int64Counter{
		t.retried, t.released, t.duplicates, t.expired, t.extensions, t.losses, t.late, t.unroutable,
	} {
		c.Add(ctx, 0, l.plain)
	}
	kind := func(s string) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(with(l.base, t.kinds.bound(semconv.ErrorTypeKey.String(s)))...))
	}
	t.extensions.Add(ctx, 0, kind(typeLeaseLost))
	for _, s := range failureKinds {
		t.receiveFailures.Add(ctx, 0, kind(s))
	}
}

// failed returns base with the error's type.
func (t *Telemetry) failed(base []attribute.KeyValue, err error) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(with(base, t.kinds.bound(errorType(err)))...))
}

// waited records how long the message of an event has waited.
func (t *Telemetry) waited(ctx context.Context, l *labels, e handler.Event) {
	if e.Waited > 0 {
		t.inHand.Record(ctx, e.Waited.Seconds(), l.plain)
	}
	m := e.Message
	if m == nil || m.EnqueuedAt.IsZero() {
		return
	}
	now := time.Now()
	age := max(now.Sub(m.EnqueuedAt), 0) // the provider's clock may be ahead
	t.wait.Record(ctx, age.Seconds(), l.waitOf(m.Attempt))
	l.ages.see(age, now)
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
	l.begin.Do(func() { t.begin(l) })
	ctx := context.Background()
	n := int64(max(e.N, 1))
	switch e.Kind {
	case handler.EventReceived:
		t.consumed.Add(ctx, n, l.received)
		t.operationDuration.Record(ctx, e.Duration.Seconds(), l.received)
	case handler.EventReceiveFailed:
		t.receiveFailures.Add(ctx, n, t.failed(l.base, e.Err))
		t.operationDuration.Record(ctx, e.Duration.Seconds(), t.failed(l.receive, e.Err))
	case handler.EventStarted:
		t.inFlight.Add(ctx, n, l.plain)
		t.waited(ctx, l, e)
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
			option = t.failed(l.base, e.Err)
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
	case handler.EventExpired:
		t.expired.Add(ctx, n, l.plain)
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

// Middleware returns the middleware that makes a span of each message.
//
// The span's parent is the span that created the message, or, if the handler
// is called within a span already (a Lambda, an HTTP push), that one; it is
// linked to the creating span in both cases, as the conventions ask.
func (t *Telemetry) Middleware() handler.Middleware {
	return func(next handler.Handler) handler.Handler {
		return &processor{t: t, next: next}
	}
}

// panicked ends the span of a handler, or of a batch, that did not return.
func (t *Telemetry) panicked(ctx context.Context, span trace.Span, l *labels, begun time.Time) {
	end(span, func() {
		kind := semconv.ErrorTypeKey.String(typePanic)
		span.SetStatus(codes.Error, "panic")
		span.SetAttributes(kind)
		t.processDuration.Record(ctx, time.Since(begun).Seconds(), metric.WithAttributeSet(attribute.NewSet(with(l.process, kind)...)))
	})
}

// Batch returns a batch handler that makes one span of each call of h, linked to
// the span that created each message, and measures the call once. A batch has no
// baggage of its own, so none is read.
func (t *Telemetry) Batch(h handler.BatchHandler) handler.BatchHandler {
	return handler.BatchHandlerFunc(func(ctx context.Context, ms []*handler.Message) []error {
		var origin handler.Origin
		if len(ms) > 0 {
			origin = ms[0].Origin()
		}
		l := t.labelsOf(origin)
		links := make([]trace.Link, 0, len(ms))
		for _, m := range ms {
			if sc := t.extract(ctx, m); sc.IsValid() {
				links = append(links, trace.Link{SpanContext: sc, Attributes: []attribute.KeyValue{semconv.MessagingMessageID(m.ID)}})
			}
		}
		ctx, span := t.tracer.Start(ctx, l.name, trace.WithSpanKind(trace.SpanKindConsumer), //nolint:spancheck // end and panicked end it
			trace.WithAttributes(with(l.process, semconv.MessagingBatchMessageCount(len(ms)))...), trace.WithLinks(links...))
		begun := time.Now()
		returned := false
		defer func() {
			if !returned {
				t.panicked(ctx, span, l, begun)
			}
		}()
		errs := h.HandleBatch(ctx, ms)
		returned = true
		took := time.Since(begun)
		end(span, func() {
			var first error
			bad := 0
			for _, err := range errs {
				if !isFault(err) {
					continue
				}
				if bad++; first == nil {
					first = err
				}
			}
			option := l.handled
			if bad > 0 {
				option = t.failed(l.process, first)
				span.SetAttributes(errorType(first))
				span.SetStatus(codes.Error, fmt.Sprintf("%d of %d messages failed", bad, len(ms)))
			}
			t.processDuration.Record(ctx, took.Seconds(), option)
		})
		return errs //nolint:spancheck // end has ended it
	})
}

// extract returns the span context that m carries, or an invalid one.
func (t *Telemetry) extract(ctx context.Context, m *handler.Message) trace.SpanContext {
	as := m.Attributes
	w3c, pubsub, xray := as["traceparent"] != "", as[pubsubPrefix+"traceparent"] != "", as[attributeXRay] != ""
	if !w3c && !pubsub && !xray {
		return trace.SpanContext{}
	}
	// The context's own span must not be taken for the message's.
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	var found trace.SpanContext
	if w3c {
		found = trace.SpanContextFromContext(t.propagator.Extract(ctx, propagation.MapCarrier(as)))
	}
	if pubsub && !found.IsValid() {
		found = trace.SpanContextFromContext(t.propagator.Extract(ctx, pubsubCarrier(as)))
	}
	if xray && !found.IsValid() {
		found = parseXRay(as[attributeXRay])
	}
	return found
}

// withBaggage returns ctx with the baggage that m carries, if that is read. A
// message without any, or with malformed baggage, leaves what ctx has.
func (t *Telemetry) withBaggage(ctx context.Context, m *handler.Message) context.Context {
	if !t.baggage || m.Attributes["baggage"] == "" {
		return ctx
	}
	// The propagator would report malformed baggage to OpenTelemetry's error handler.
	b, err := baggage.Parse(m.Attributes["baggage"])
	if err != nil {
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, b)
}

// inject writes the span context of ctx into m, as far as there is room for it.
// Attributes that can't be read, and those that belong to another trace, are
// replaced.
func (t *Telemetry) inject(ctx context.Context, m *handler.Message, room Room) {
	if !valid(ctx) {
		return
	}
	fields := make(propagation.MapCarrier, 4)
	t.propagator.Inject(ctx, fields)
	for _, name := range [...]string{"traceparent", "tracestate", "baggage"} {
		if v := fields[name]; v != "" && room.fits(m, name, v) {
			m.SetAttribute(name, v)
		} else {
			delete(m.Attributes, name) // one that is not of this trace would lie
		}
	}
	for _, name := range [...]string{"traceparent", "tracestate"} {
		v := fields[name]
		name = pubsubPrefix + name
		if _, old := m.Attributes[name]; !t.writePubSub && !old {
			continue
		}
		if t.writePubSub && v != "" && room.fits(m, name, v) {
			m.SetAttribute(name, v)
		} else {
			delete(m.Attributes, name)
		}
	}
	if t.writeXRay {
		m.SetAttribute(attributeXRay, formatXRay(trace.SpanContextFromContext(ctx)))
	}
}

// Prepare returns the producer's hook for one message: it makes a span "create
// QUEUE" under the caller's, and puts its context into the message, as far as
// room allows. A message that has a creation context already, as one has that is
// forwarded with its attributes, keeps it, and has no such span. It never returns
// an error. Of the origin, Queue, System and Server count.
func (t *Telemetry) Prepare(o handler.Origin, room Room) func(ctx context.Context, m *handler.Message) error {
	l := t.labelsOf(o)
	attributes := with(l.base, semconv.MessagingOperationName("create"), semconv.MessagingOperationTypeCreate)
	return func(ctx context.Context, m *handler.Message) error {
		if creation := t.extract(ctx, m); creation.IsValid() {
			t.keep(ctx, creation, m, room)
			return nil
		}
		ctx, span := t.tracer.Start(ctx, "create "+l.queue, trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithAttributes(attributes...), trace.WithAttributes(semconv.MessagingMessageBodySize(len(m.Body))))
		t.inject(ctx, m, room)
		span.End()
		return nil
	}
}

// keep writes the creation context of m in the other requested forms. Baggage
// that came with it stays.
func (t *Telemetry) keep(ctx context.Context, creation trace.SpanContext, m *handler.Message, room Room) {
	if old := m.Attributes["baggage"]; old != "" {
		defer m.SetAttribute("baggage", old)
	}
	t.inject(trace.ContextWithRemoteSpanContext(ctx, creation), m, room)
}

// Send returns the producer's hook around one request: it makes a span "send
// QUEUE", linked to the span that created each message, and counts sent
// messages.
func (t *Telemetry) Send(o handler.Origin) func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
	l := t.labelsOf(o)
	attributes := with(l.base, semconv.MessagingOperationName("send"), semconv.MessagingOperationTypeSend)
	good := metric.WithAttributeSet(attribute.NewSet(attributes...))
	t.sent.Add(context.Background(), 0, good)
	return func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
		links := make([]trace.Link, 0, len(ms))
		for _, m := range ms {
			if sc := t.extract(ctx, m); sc.IsValid() {
				links = append(links, trace.Link{SpanContext: sc})
			}
		}
		own := attributes
		if len(ms) > 1 {
			own = with(attributes, semconv.MessagingBatchMessageCount(len(ms)))
		}
		ctx, span := t.tracer.Start(ctx, "send "+l.queue, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(own...), trace.WithLinks(links...))
		defer span.End()
		begun := time.Now()
		errs := send(ctx, ms)

		var first error
		bad := 0
		for _, err := range errs {
			if err == nil {
				continue
			}
			bad++
			if first == nil {
				first = err
			}
			t.sent.Add(ctx, 1, t.failed(attributes, err))
		}
		if ok := len(ms) - bad; ok > 0 {
			t.sent.Add(ctx, int64(ok), good)
		}
		option := good
		if first != nil {
			option = t.failed(attributes, first)
			span.SetAttributes(errorType(first))
			span.SetStatus(codes.Error, fmt.Sprintf("%d of %d messages were not sent: %v", bad, len(ms), first))
		}
		t.operationDuration.Record(ctx, time.Since(begun).Seconds(), option)
		if len(ms) == 1 && bad == 0 && ms[0].ID != "" {
			span.SetAttributes(semconv.MessagingMessageID(ms[0].ID))
		}
		return errs
	}
}

// settle makes the span "settle QUEUE" of a verdict that was carried out, or
// could not be. Its parent is the span that created the message, which it is also
// linked to. Verdicts are carried out in batches, so that there is no time
// of a single one: the span has the moment at which it was done. A verdict for which
// no request was made, as in a Lambda, has none.
func (t *Telemetry) settle(ctx context.Context, l *labels, e handler.Event) {
	if e.Message == nil || e.Answered {
		return
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(l.settle...)}
	if creation := t.extract(ctx, e.Message); creation.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: creation}))
		ctx = trace.ContextWithRemoteSpanContext(ctx, creation)
	}
	now := time.Now()
	_, span := t.tracer.Start(ctx, "settle "+l.queue, append(options, trace.WithTimestamp(now))...)
	if span.IsRecording() {
		span.SetAttributes(verdictKey.String(e.Action.String()))
		if e.Message.ID != "" {
			span.SetAttributes(semconv.MessagingMessageID(e.Message.ID))
		}
		if e.Err != nil {
			span.SetAttributes(errorType(e.Err))
			span.SetStatus(codes.Error, invoke.Text(e.Err))
		}
	}
	span.End(trace.WithTimestamp(now))
}

// WatchDepth reports a queue's depth whenever metrics are collected. It calls
// ask at most once in ten seconds, with a timeout of five seconds. A failure
// leaves the depth out of that collection and goes to OpenTelemetry's error
// handler. The function that WatchDepth returns ends it.
//
// Each process that watches a queue reports the whole queue: take the largest, not the
// sum, over processes.
func (t *Telemetry) WatchDepth(o handler.Origin, ask func(ctx context.Context) (Depth, error)) (stop func() error, err error) {
	var faults []error
	count := func(name, about string) metric.Int64ObservableGauge {
		g, err := t.meter.Int64ObservableGauge(name, metric.WithUnit("{message}"), metric.WithDescription(about))
		faults = append(faults, err)
		return g
	}
	seconds := func(name, about string) metric.Float64ObservableGauge {
		g, err := t.meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(about))
		faults = append(faults, err)
		return g
	}
	depth := count("sluice.queue.depth", "Messages of the queue, by state.")
	dead := count("sluice.queue.dead_letters", "Messages in the dead-letter queue.")
	age := seconds("sluice.queue.oldest_age", "Age of the oldest message of the queue, as the provider reports it or as messages are received.")
	letterAge := seconds("sluice.queue.oldest_letter_age", "Age of the oldest message in the dead-letter queue.")
	retention := seconds("sluice.queue.letter_retention", "How long the dead-letter queue keeps messages.")
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	l := t.labelsOf(o)
	states := [...]metric.MeasurementOption{
		metric.WithAttributeSet(attribute.NewSet(with(l.base, stateKey.String("visible"))...)),
		metric.WithAttributeSet(attribute.NewSet(with(l.base, stateKey.String("in_flight"))...)),
		metric.WithAttributeSet(attribute.NewSet(with(l.base, stateKey.String("delayed"))...)),
	}
	reported := metric.WithAttributeSet(attribute.NewSet(with(l.base, ageKey.String("reported"))...))
	received := metric.WithAttributeSet(attribute.NewSet(with(l.base, ageKey.String("received"))...))
	known := &cachedDepth{ask: ask}
	r, err := t.meter.RegisterCallback(func(ctx context.Context, out metric.Observer) error {
		d, err := known.get(ctx)
		if err != nil {
			return fmt.Errorf("depth of queue %q: %w", o.Queue, err)
		}
		for i, n := range [...]int64{d.Visible, d.InFlight, d.Delayed} {
			if n >= 0 {
				out.ObserveInt64(depth, n, states[i])
			}
		}
		if d.DeadLetters >= 0 {
			out.ObserveInt64(dead, d.DeadLetters, l.plain)
			if d.LetterAge >= 0 {
				out.ObserveFloat64(letterAge, d.LetterAge.Seconds(), l.plain)
			}
			if d.LetterRetention > 0 {
				out.ObserveFloat64(retention, d.LetterRetention.Seconds(), l.plain)
			}
		}
		if d.OldestAge >= 0 {
			out.ObserveFloat64(age, d.OldestAge.Seconds(), reported)
		} else if seen, ok := l.ages.largest(time.Now()); ok || d.empty() {
			out.ObserveFloat64(age, seen.Seconds(), received)
		}
		return nil
	}, depth, dead, age, letterAge, retention)
	if err != nil {
		return nil, err
	}
	return r.Unregister, nil
}

// WatchControl reports whether a queue is paused, and its limits, whenever metrics are
// collected. It calls ask, which must not block. A limit of 0 is not reported. The function
// that WatchControl returns ends it.
func (t *Telemetry) WatchControl(o handler.Origin, ask func() Control) (stop func() error, err error) {
	paused, err1 := t.meter.Int64ObservableGauge("sluice.queue.paused", metric.WithUnit("{queue}"),
		metric.WithDescription("1 while an operator has paused the queue, else 0."))
	concurrency, err2 := t.meter.Int64ObservableGauge("sluice.queue.limit.concurrency", metric.WithUnit("{handler}"),
		metric.WithDescription("Handlers that an operator lets this consumer run concurrently."))
	rate, err3 := t.meter.Float64ObservableGauge("sluice.queue.limit.rate", metric.WithUnit("{message}/s"),
		metric.WithDescription("Messages in a second that an operator lets this consumer begin."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	l := newLabels(o)
	r, err := t.meter.RegisterCallback(func(_ context.Context, out metric.Observer) error {
		c := ask()
		n := int64(0)
		if c.Paused {
			n = 1
		}
		out.ObserveInt64(paused, n, l.plain)
		if c.Concurrency > 0 {
			out.ObserveInt64(concurrency, int64(c.Concurrency), l.plain)
		}
		if c.Rate > 0 {
			out.ObserveFloat64(rate, c.Rate, l.plain)
		}
		return nil
	}, paused, concurrency, rate)
	if err != nil {
		return nil, err
	}
	return r.Unregister, nil
}
