package otel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
	parent   = "00-" + traceID + "-" + parentID + "-01"
)

var sqs = handler.Origin{Queue: "orders", System: "aws_sqs", Server: "sqs.us-east-1.amazonaws.com"}

// kit is a Telemetry whose spans and metrics a test can read.
type kit struct {
	*otel.Telemetry
	spans  *tracetest.InMemoryExporter
	reader *metric.ManualReader
	tracer trace.Tracer
}

func newKit(t *testing.T, c *otel.Config) *kit {
	t.Helper()
	k := &kit{spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(k.spans))
	mp := metric.NewMeterProvider(metric.WithReader(k.reader))
	t.Cleanup(func() {
		require.NoError(t, tp.Shutdown(context.Background()))
		require.NoError(t, mp.Shutdown(context.Background()))
	})
	if c == nil {
		c = &otel.Config{}
	}
	c.TracerProvider, c.MeterProvider = tp, mp
	tel, err := otel.New(c)
	require.NoError(t, err)
	k.Telemetry, k.tracer = tel, tp.Tracer("test")
	return k
}

// metrics returns each data point's value, by "name{attributes}".
// happened returns the metrics without the counters that are at zero.
func (k *kit) happened(t *testing.T) map[string]float64 {
	t.Helper()
	all := k.metrics(t)
	maps.DeleteFunc(all, func(_ string, n float64) bool { return n == 0 })
	return all
}

func (k *kit) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(t, k.reader.Collect(t.Context(), &rm))
	out := make(map[string]float64)
	for _, sm := range rm.ScopeMetrics {
		require.Equal(t, "github.com/sluice-go/sluice/middleware/otel", sm.Scope.Name)
		for _, m := range sm.Metrics {
			id := func(s attribute.Set) string {
				return m.Name + "[" + m.Unit + "]{" + s.Encoded(attribute.DefaultEncoder()) + "}"
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					out[id(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					out[id(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					out[id(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					if strings.HasPrefix(m.Name, "messaging.") {
						require.Equal(t, []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}, p.Bounds)
					}
					out[id(p.Attributes)] = float64(p.Count)
				}
			default:
				t.Fatalf("metric %s has data of type %T", m.Name, m.Data)
			}
		}
	}
	return out
}

func attributesOf(as []attribute.KeyValue) map[string]any {
	out := make(map[string]any)
	for _, a := range as {
		out[string(a.Key)] = a.Value.AsInterface()
	}
	return out
}

func received(o handler.Origin, attributes map[string]string) *handler.Message {
	m := &handler.Message{ID: "m-1", Body: []byte("hello"), Attempt: 2, Group: "g", Attributes: attributes}
	m.Bind(&o, nil)
	return m
}

type codedError struct{}

func (codedError) Error() string { return "coded" }

func TestProcessSpan(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name    string
		origin  handler.Origin
		err     error
		status  codes.Code
		extra   map[string]any
		measure string
	}{
		{
			"ack on SQS", sqs, nil, codes.Unset,
			map[string]any{"sluice.verdict": "ack"},
			"messaging.destination.name=orders,messaging.operation.name=process,messaging.operation.type=process,messaging.system=aws_sqs,server.address=sqs.us-east-1.amazonaws.com",
		},
		{
			"ack on Pub/Sub", handler.Origin{Queue: "orders", System: "gcp_pubsub"}, nil, codes.Unset,
			map[string]any{
				"sluice.verdict": "ack", "messaging.gcp_pubsub.message.ordering_key": "g",
				"messaging.gcp_pubsub.message.delivery_attempt": int64(2), "messaging.destination.subscription.name": "orders",
			},
			"messaging.destination.name=orders,messaging.destination.subscription.name=orders,messaging.operation.name=process,messaging.operation.type=process,messaging.system=gcp_pubsub",
		},
		{
			"retry", sqs, fmt.Errorf("around: %w", boom), codes.Error,
			map[string]any{"sluice.verdict": "retry", "error.type": "*errors.errorString"},
			"error.type=*errors.errorString,messaging.destination.name=orders,messaging.operation.name=process,messaging.operation.type=process,messaging.system=aws_sqs,server.address=sqs.us-east-1.amazonaws.com",
		},
		{
			"rejection: the type is the cause's", sqs, handler.Reject(codedError{}), codes.Error,
			map[string]any{"sluice.verdict": "dead_letter", "error.type": "github.com/sluice-go/sluice/middleware/otel_test.codedError"},
			"error.type=github.com/sluice-go/sluice/middleware/otel_test.codedError,messaging.destination.name=orders,messaging.operation.name=process,messaging.operation.type=process,messaging.system=aws_sqs,server.address=sqs.us-east-1.amazonaws.com",
		},
		{
			"drop is no fault", sqs, handler.Drop(codedError{}), codes.Unset,
			map[string]any{"sluice.verdict": "drop"},
			"messaging.destination.name=orders,messaging.operation.name=process,messaging.operation.type=process,messaging.system=aws_sqs,server.address=sqs.us-east-1.amazonaws.com",
		},
		{
			"postponing is no fault", sqs, handler.Postpone(time.Second, codedError{}), codes.Unset,
			map[string]any{"sluice.verdict": "retry"},
			"messaging.destination.name=orders,messaging.operation.name=process,messaging.operation.type=process,messaging.system=aws_sqs,server.address=sqs.us-east-1.amazonaws.com",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, nil)
			var inside trace.SpanContext
			h := k.Middleware()(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
				inside = trace.SpanContextFromContext(ctx)
				return c.err
			}))
			require.Equal(t, c.err, h.Handle(t.Context(), received(c.origin, map[string]string{"traceparent": parent})))

			spans := k.spans.GetSpans()
			require.Len(t, spans, 1)
			s := spans[0]
			require.Equal(t, "process orders", s.Name)
			require.Equal(t, trace.SpanKindConsumer, s.SpanKind)
			require.Equal(t, "https://opentelemetry.io/schemas/1.43.0", s.InstrumentationScope.SchemaURL)
			require.Equal(t, inside.SpanID(), s.SpanContext.SpanID())
			require.Equal(t, traceID, s.SpanContext.TraceID().String())
			require.Equal(t, parentID, s.Parent.SpanID().String())
			require.Len(t, s.Links, 1)
			require.Equal(t, parentID, s.Links[0].SpanContext.SpanID().String())
			require.Equal(t, c.status, s.Status.Code)

			want := map[string]any{
				"messaging.system": c.origin.System, "messaging.destination.name": "orders",
				"messaging.operation.name": "process", "messaging.operation.type": "process",
				"messaging.message.id": "m-1", "messaging.message.body.size": int64(5), "sluice.attempt": int64(2),
			}
			if c.origin.Server != "" {
				want["server.address"] = c.origin.Server
			}
			for key, v := range c.extra {
				want[key] = v
			}
			require.Equal(t, want, attributesOf(s.Attributes))
			require.Equal(t, map[string]float64{"messaging.process.duration[s]{" + c.measure + "}": 1}, k.metrics(t))
		})
	}
}

func TestAPanicEndsTheSpanAndPasses(t *testing.T) {
	k := newKit(t, nil)
	h := k.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { panic("boom") }))
	require.PanicsWithValue(t, "boom", func() { _ = h.Handle(t.Context(), received(sqs, nil)) })
	require.Len(t, k.spans.GetSpans(), 1)
	require.Equal(t, codes.Error, k.spans.GetSpans()[0].Status.Code)
}

func TestWhereTheParentComesFrom(t *testing.T) {
	const xray = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=" + parentID + ";Sampled=1"
	for _, c := range []struct {
		name       string
		attributes map[string]string
		found      bool
	}{
		{"W3C", map[string]string{"traceparent": parent}, true},
		{"Pub/Sub's own clients", map[string]string{"googclient_traceparent": parent}, true},
		{"X-Ray", map[string]string{"AWSTraceHeader": xray}, true},
		{"W3C before the others", map[string]string{"traceparent": parent, "AWSTraceHeader": "Root=1-00000000-000000000000000000000001;Parent=0000000000000001;Sampled=1"}, true},
		{"broken W3C, good X-Ray", map[string]string{"traceparent": "00-zz", "AWSTraceHeader": xray}, true},
		{"nothing", nil, false},
		{"broken", map[string]string{"traceparent": "x", "googclient_traceparent": "\x00", "AWSTraceHeader": "Root="}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, nil)
			h := k.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
			require.NoError(t, h.Handle(t.Context(), received(sqs, c.attributes)))
			s := k.spans.GetSpans()[0]
			if !c.found {
				require.False(t, s.Parent.IsValid())
				require.Empty(t, s.Links)
				return
			}
			require.Equal(t, parentID, s.Parent.SpanID().String())
			require.Equal(t, traceID, s.SpanContext.TraceID().String())
		})
	}
}

func TestWithinASpanThatOneIsTheParent(t *testing.T) {
	k := newKit(t, nil)
	ctx, outer := k.tracer.Start(t.Context(), "POST /push")
	h := k.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	require.NoError(t, h.Handle(ctx, received(sqs, map[string]string{"traceparent": parent})))
	outer.End()
	s := k.spans.GetSpans()[0]
	require.Equal(t, outer.SpanContext().SpanID(), s.Parent.SpanID())
	require.Equal(t, parentID, s.Links[0].SpanContext.SpanID().String())
}

func TestProducerToConsumerIsOneTrace(t *testing.T) {
	k := newKit(t, nil)
	prepare, around := k.Prepare(sqs, otel.Room{}), k.Send(sqs)
	ctx, root := k.tracer.Start(t.Context(), "POST /orders")
	ms := []*handler.Message{{Body: []byte("1")}, {Body: []byte("22")}}
	for _, m := range ms {
		require.NoError(t, prepare(ctx, m))
	}
	down := errors.New("down")
	errs := around(ctx, ms, func(context.Context, []*handler.Message) []error {
		ms[0].ID = "sent-1"
		return []error{nil, down}
	})
	require.Equal(t, []error{nil, down}, errs)
	require.NoError(t, k.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })).
		Handle(t.Context(), received(sqs, ms[0].Attributes)))
	root.End()

	byName := make(map[string][]tracetest.SpanStub)
	for _, s := range k.spans.GetSpans() {
		byName[s.Name] = append(byName[s.Name], s)
	}
	create, send, process := byName["create orders"], byName["send orders"], byName["process orders"]
	require.Len(t, create, 2)
	require.Len(t, send, 1)
	require.Len(t, process, 1)
	require.Equal(t, trace.SpanKindProducer, create[0].SpanKind)
	require.Equal(t, root.SpanContext().SpanID(), create[0].Parent.SpanID())
	require.Equal(t, create[0].SpanContext.SpanID(), process[0].Parent.SpanID())
	require.Equal(t, trace.SpanKindClient, send[0].SpanKind)
	require.Equal(t, codes.Error, send[0].Status.Code)
	require.Equal(t, "1 of 2 messages were not sent: down", send[0].Status.Description)
	require.Len(t, send[0].Links, 2)
	require.Equal(t, create[1].SpanContext.SpanID(), send[0].Links[1].SpanContext.SpanID())
	require.Equal(t, map[string]any{
		"messaging.system": "aws_sqs", "messaging.destination.name": "orders", "server.address": sqs.Server,
		"messaging.operation.name": "create", "messaging.operation.type": "create", "messaging.message.body.size": int64(1),
	}, attributesOf(create[0].Attributes))
	require.Equal(t, map[string]any{
		"messaging.system": "aws_sqs", "messaging.destination.name": "orders", "server.address": sqs.Server,
		"messaging.operation.name": "send", "messaging.operation.type": "send", "messaging.batch.message_count": int64(2),
		"error.type": "*errors.errorString",
	}, attributesOf(send[0].Attributes))

	const of = "messaging.destination.name=orders,messaging.operation.name=send,messaging.operation.type=send,messaging.system=aws_sqs,server.address=sqs.us-east-1.amazonaws.com}"
	got := k.metrics(t)
	require.EqualValues(t, 1, got["messaging.client.sent.messages[{message}]{"+of])
	require.EqualValues(t, 1, got["messaging.client.sent.messages[{message}]{error.type=*errors.errorString,"+of])
	require.EqualValues(t, 1, got["messaging.client.operation.duration[s]{error.type=*errors.errorString,"+of])
}

func TestBatchSpanLinksEachMessage(t *testing.T) {
	k := newKit(t, nil)
	h := k.Batch(handler.BatchHandlerFunc(func(_ context.Context, ms []*handler.Message) []error {
		return []error{nil, errors.New("x"), handler.Drop(nil)}
	}))
	with, without := received(sqs, map[string]string{"traceparent": parent}), received(sqs, nil)
	require.Len(t, h.HandleBatch(t.Context(), []*handler.Message{with, without, without}), 3)
	s := k.spans.GetSpans()[0]
	require.Equal(t, "process orders", s.Name)
	require.Len(t, s.Links, 1)
	require.Equal(t, parentID, s.Links[0].SpanContext.SpanID().String())
	require.Equal(t, int64(3), attributesOf(s.Attributes)["messaging.batch.message_count"])
	require.Equal(t, "1 of 3 messages failed", s.Status.Description)
	require.False(t, s.Parent.IsValid())
}

func TestEventsBecomeMetrics(t *testing.T) {
	k := newKit(t, nil)
	o := &handler.Origin{Queue: "q", System: "s"}
	for _, e := range []handler.Event{
		{Kind: handler.EventReceived, N: 10, Duration: time.Second},
		{Kind: handler.EventReceiveFailed, Err: codedError{}},
		{Kind: handler.EventStarted, Waited: time.Millisecond}, {Kind: handler.EventStarted}, {Kind: handler.EventHandled},
		{Kind: handler.EventSettled, Action: handler.ActionAck}, {Kind: handler.EventSettled, Action: handler.ActionRetry},
		{Kind: handler.EventSettled, Action: handler.ActionDeadLetter}, {Kind: handler.EventSettled, Action: handler.ActionDrop},
		{Kind: handler.EventSettled, Action: handler.ActionAck, Err: codedError{}},
		{Kind: handler.EventExtended, N: 3}, {Kind: handler.EventExtended, Err: codedError{}},
		{Kind: handler.EventLeaseLost}, {Kind: handler.EventLateVerdict}, {Kind: handler.EventReleased},
		{Kind: handler.EventNoDeadLetter}, {Kind: handler.EventDuplicate},
		{Kind: handler.EventStoreDown, Store: "a"}, {Kind: handler.EventStoreDown, Store: "b"}, {Kind: handler.EventStoreUp, Store: "b"},
	} {
		e.Origin = o
		k.Observe(e)
	}
	const q, coded = "messaging.destination.name=q,messaging.system=s", "error.type=github.com/sluice-go/sluice/middleware/otel_test.codedError,"
	require.Equal(t, map[string]float64{
		"messaging.client.consumed.messages[{message}]{messaging.destination.name=q,messaging.operation.name=receive,messaging.operation.type=receive,messaging.system=s}": 10,
		"messaging.client.operation.duration[s]{messaging.destination.name=q,messaging.operation.name=receive,messaging.operation.type=receive,messaging.system=s}":        1,
		"sluice.receive.failures[{failure}]{" + coded + q + "}": 1,
		"messaging.client.operation.duration[s]{" + coded + "messaging.destination.name=q,messaging.operation.name=receive,messaging.operation.type=receive,messaging.system=s}": 1,
		"sluice.messages.in_flight[{message}]{" + q + "}":                          1,
		"sluice.message.in_hand.duration[s]{" + q + "}":                            1,
		"sluice.messages.settled[{message}]{" + q + ",sluice.verdict=ack}":         1,
		"sluice.messages.settled[{message}]{" + q + ",sluice.verdict=retry}":       1,
		"sluice.messages.settled[{message}]{" + q + ",sluice.verdict=dead_letter}": 1,
		"sluice.messages.settled[{message}]{" + q + ",sluice.verdict=drop}":        1,
		"sluice.messages.retried[{message}]{" + q + "}":                            1,
		"sluice.lease.extensions[{extension}]{" + q + "}":                          3,
		"sluice.lease.extensions[{extension}]{" + coded + q + "}":                  1,
		"sluice.lease.losses[{lease}]{" + q + "}":                                  1,
		"sluice.verdicts.late[{message}]{" + q + "}":                               1,
		"sluice.messages.released[{message}]{" + q + "}":                           1,
		"sluice.rejections.unroutable[{message}]{" + q + "}":                       1,
		"sluice.messages.duplicates[{message}]{" + q + "}":                         1,
		"sluice.stores.down[{store}]{sluice.store=a}":                              1,
	}, k.happened(t))
	require.Zero(t, k.metrics(t)["sluice.stores.down[{store}]{sluice.store=b}"])
}

func TestDepth(t *testing.T) {
	k := newKit(t, nil)
	asked := 0
	stop, err := k.WatchDepth(handler.Origin{Queue: "q", System: "s"}, func(context.Context) (otel.Depth, error) {
		asked++
		return otel.Depth{Visible: 5, InFlight: 2, Delayed: -1, DeadLetters: 7, OldestAge: 90 * time.Second, LetterAge: time.Hour, LetterRetention: 2 * time.Hour}, nil
	})
	require.NoError(t, err)
	const q = "messaging.destination.name=q,messaging.system=s"
	want := map[string]float64{
		"sluice.queue.depth[{message}]{" + q + ",sluice.state=visible}":   5,
		"sluice.queue.depth[{message}]{" + q + ",sluice.state=in_flight}": 2,
		"sluice.queue.dead_letters[{message}]{" + q + "}":                 7,
		"sluice.queue.oldest_age[s]{" + q + ",sluice.age=reported}":       90,
		"sluice.queue.oldest_letter_age[s]{" + q + "}":                    3600,
		"sluice.queue.letter_retention[s]{" + q + "}":                     7200,
	}
	require.Equal(t, want, k.metrics(t))
	require.Equal(t, want, k.metrics(t))
	require.Equal(t, 1, asked, "two collections in a moment ask once")
	require.NoError(t, stop())
	require.Empty(t, k.metrics(t))
}

func TestControl(t *testing.T) {
	k := newKit(t, nil)
	var now otel.Control
	stop, err := k.WatchControl(handler.Origin{Queue: "q", System: "s"}, func() otel.Control { return now })
	require.NoError(t, err)
	const q = "{messaging.destination.name=q,messaging.system=s}"
	require.Equal(t, map[string]float64{"sluice.queue.paused[{queue}]" + q: 0}, k.metrics(t))
	now = otel.Control{Paused: true, Concurrency: 3, Rate: 0.5}
	require.Equal(t, map[string]float64{
		"sluice.queue.paused[{queue}]" + q:              1,
		"sluice.queue.limit.concurrency[{handler}]" + q: 3,
		"sluice.queue.limit.rate[{message}/s]" + q:      0.5,
	}, k.metrics(t))
	require.NoError(t, stop())
	require.Empty(t, k.metrics(t))
}

func TestAnInjectionNeverHurtsAMessage(t *testing.T) {
	k := newKit(t, &otel.Config{XRay: true})
	ctx, span := k.tracer.Start(t.Context(), "root")
	defer span.End()
	for n := range 13 {
		m := &handler.Message{Attributes: map[string]string{}}
		for i := range n {
			m.Attributes[fmt.Sprint("a", i)] = "v"
		}
		require.NoError(t, k.Prepare(sqs, otel.Room{Attributes: 10})(ctx, m))
		own := len(m.Attributes)
		if m.Attributes["AWSTraceHeader"] != "" {
			own--
		}
		require.LessOrEqual(t, own, max(n, 10))
		require.Equal(t, n < 10, m.Attributes["traceparent"] != "", "with %d attributes", n)
		for i := range n {
			require.Equal(t, "v", m.Attributes[fmt.Sprint("a", i)])
		}
	}
	full := &handler.Message{Body: make([]byte, 1000)}
	require.NoError(t, k.Prepare(sqs, otel.Room{Bytes: 1024})(ctx, full))
	require.Empty(t, full.Attributes["traceparent"], "no room in bytes")

	again := &handler.Message{Attributes: map[string]string{"traceparent": "00-" + traceID, "tracestate": "a=b"}}
	require.NoError(t, k.Prepare(sqs, otel.Room{})(ctx, again))
	require.Contains(t, again.Attributes["traceparent"], span.SpanContext().TraceID().String())
	require.NotContains(t, again.Attributes, "tracestate", "that of another trace would lie")
}

func TestTheContextIsWrittenForOtherClients(t *testing.T) {
	for _, c := range []struct {
		name   string
		config otel.Config
		want   []string
	}{
		{"W3C alone", otel.Config{}, []string{"traceparent"}},
		{"X-Ray", otel.Config{XRay: true}, []string{"traceparent", "AWSTraceHeader"}},
		{"Google's clients", otel.Config{PubSub: true}, []string{"traceparent", "googclient_traceparent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, &c.config)
			ctx, span := k.tracer.Start(t.Context(), "root")
			defer span.End()
			m := &handler.Message{Attributes: map[string]string{"googclient_tracestate": "of=another"}}
			require.NoError(t, k.Prepare(sqs, otel.Room{})(ctx, m))
			var names []string
			for name, v := range m.Attributes {
				names = append(names, name)
				require.Contains(t, strings.ReplaceAll(v, "-", ""), span.SpanContext().TraceID().String(), name)
			}
			require.ElementsMatch(t, c.want, names, "and what another trace left is gone")
		})
	}
	k := newKit(t, &otel.Config{PubSub: true})
	ctx, span := k.tracer.Start(t.Context(), "root")
	defer span.End()
	for n := range 13 {
		m := &handler.Message{Attributes: map[string]string{}}
		for i := range n {
			m.Attributes[fmt.Sprint("a", i)] = "v"
		}
		require.NoError(t, k.Prepare(sqs, otel.Room{Attributes: 10})(ctx, m))
		require.LessOrEqual(t, len(m.Attributes), max(n, 10))
		require.Equal(t, n < 9, m.Attributes["googclient_traceparent"] != "", "with %d attributes", n)
	}
}

func noopHandler(b *testing.B) handler.Handler {
	b.Helper()
	tel, err := otel.New(&otel.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: noop.NewMeterProvider()})
	require.NoError(b, err)
	return tel.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
}

func BenchmarkProcess(b *testing.B) {
	m := received(sqs, nil)
	traced := received(sqs, map[string]string{"traceparent": parent})
	mp := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
	tel, err := otel.New(&otel.Config{TracerProvider: sdktrace.NewTracerProvider(), MeterProvider: mp})
	require.NoError(b, err)
	sdk := tel.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	for _, c := range []struct {
		name string
		h    handler.Handler
		m    *handler.Message
	}{
		{"noop", noopHandler(b), m}, {"noop with traceparent", noopHandler(b), traced},
		{"sdk", sdk, m}, {"sdk with traceparent", sdk, traced},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.h.Handle(b.Context(), c.m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
