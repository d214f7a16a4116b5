package otel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

// The tests of this file follow the semantic conventions for messaging, version
// 1.43.

func bag(t *testing.T, text string) context.Context {
	t.Helper()
	b, err := baggage.Parse(text)
	require.NoError(t, err)
	return baggage.ContextWithBaggage(t.Context(), b)
}

func TestBaggageIsReadWhereItIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		name         string
		on           bool
		sent, around string // of the producer's context, and of the handler's
		want         string
	}{
		{"from the message", true, "tenant=acme", "", "tenant=acme"},
		{"the message's before the request's", true, "tenant=acme", "tenant=other", "tenant=acme"},
		{"none in the message", true, "", "tenant=other", "tenant=other"},
		{"not asked for", false, "tenant=acme", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, &otel.Config{Baggage: c.on})
			ctx, span := k.tracer.Start(bag(t, c.sent), "root")
			defer span.End()
			m := received(sqs, nil)
			require.NoError(t, k.Prepare(sqs, otel.Room{})(ctx, m))
			require.Equal(t, c.on && c.sent != "", m.Attributes["baggage"] != "")
			if !c.on {
				m.SetAttribute("baggage", c.sent)
			}
			var got string
			require.NoError(t, k.Middleware()(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
				got = baggage.FromContext(ctx).String()
				return nil
			})).Handle(bag(t, c.around), m))
			require.Equal(t, c.want, got)
		})
	}
	// It has nothing to do with whether there is a trace, and text that can't be read is left out.
	for text, want := range map[string]string{"tenant=acme": "tenant=acme", "\x00": "", "a=" + strings.Repeat("x", 20_000): ""} {
		k := newKit(t, &otel.Config{Baggage: true})
		require.NoError(t, k.Middleware()(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
			require.Equal(t, want, baggage.FromContext(ctx).String())
			return nil
		})).Handle(t.Context(), received(sqs, map[string]string{"baggage": text})))
	}
}

func TestACreationContextIsKept(t *testing.T) {
	k := newKit(t, &otel.Config{Baggage: true, PubSub: true, XRay: true})
	ctx, span := k.tracer.Start(bag(t, "tenant=other"), "root")
	defer span.End()
	for name, attributes := range map[string]map[string]string{
		"W3C":             {"traceparent": parent, "tracestate": "a=b", "baggage": "tenant=acme"},
		"Google's client": {"googclient_traceparent": parent, "baggage": "tenant=acme"},
		"X-Ray":           {"AWSTraceHeader": "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=" + parentID + ";Sampled=1", "baggage": "tenant=acme"},
	} {
		before := len(k.spans.GetSpans())
		m := &handler.Message{Attributes: attributes}
		require.NoError(t, k.Prepare(sqs, otel.Room{})(ctx, m))
		require.Len(t, k.spans.GetSpans(), before, "%s: there is no second span that creates it", name)
		require.Equal(t, parent, m.Attributes["traceparent"], name)
		require.Equal(t, parent, m.Attributes["googclient_traceparent"], "%s: also in the form that was asked for", name)
		require.Contains(t, m.Attributes["AWSTraceHeader"], parentID, name)
		require.Equal(t, "tenant=acme", m.Attributes["baggage"], name)
		if name == "W3C" {
			require.Equal(t, "a=b", m.Attributes["tracestate"])
		}
		// The send is linked to it.
		_ = k.Send(sqs)(ctx, []*handler.Message{m}, func(context.Context, []*handler.Message) []error { return nil })
		spans := k.spans.GetSpans()
		require.Equal(t, parentID, spans[len(spans)-1].Links[0].SpanContext.SpanID().String(), name)
	}
	// Of another's context that does not fit nothing is written, and nothing is lost.
	m := &handler.Message{Attributes: map[string]string{"traceparent": parent}}
	require.NoError(t, k.Prepare(sqs, otel.Room{Attributes: 1})(ctx, m))
	require.Equal(t, parent, m.Attributes["traceparent"])
	require.NotContains(t, m.Attributes, "googclient_traceparent")
}

// apiError is as those of smithy are, sqlError as those of PostgreSQL's drivers.
type apiError string

func (e apiError) Error() string     { return "api: " + string(e) }
func (e apiError) ErrorCode() string { return string(e) }

type sqlError struct{ error }

func (sqlError) SQLState() string { return "40001" }

type responseError struct{ error }

func (e responseError) HTTPStatusCode() int { return 503 }
func (e responseError) Unwrap() error       { return e.error }

// kindError is as the errors of drivers are.
type kindError struct {
	kind string
	err  error
}

func (e *kindError) Error() string     { return "queue: " + e.kind }
func (e *kindError) ErrorType() string { return e.kind }
func (e *kindError) Unwrap() error     { return e.err }

type nilError struct{ err error }

func (e *nilError) Error() string     { return e.err.Error() }
func (e *nilError) ErrorCode() string { return e.err.Error() }

// grpcStatus and grpcError are as gRPC's are.
type grpcStatus struct{}

func (*grpcStatus) Code() uint32 { return 14 }

type grpcError struct{ error }

func (grpcError) GRPCStatus() *grpcStatus { return &grpcStatus{} }

func TestErrorTypesAreCodes(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"throttled":               {&kindError{kind: "throttled"}, "throttled"},
		"denied":                  {fmt.Errorf("send: %w", handler.RetryAfter(time.Second, &kindError{kind: "denied"})), "denied"},
		"unreachable":             {&kindError{kind: "unreachable"}, "unreachable"},
		"a driver's unavailable":  {&kindError{"transient", grpcError{io.EOF}}, "unreachable"},
		"a kind that is none":     {&kindError{kind: "queue \"orders\" of tenant 17"}, "_OTHER"},
		"AWS":                     {responseError{apiError("ConditionalCheckFailedException")}, "ConditionalCheckFailedException"},
		"AWS with a namespace":    {apiError("AWS.SimpleQueueService.NonExistentQueue"), "AWS.SimpleQueueService.NonExistentQueue"},
		"a code per message":      {apiError("order 17 is not there"), "github.com/sluice-go/sluice/middleware/otel_test.apiError"},
		"a status":                {responseError{io.ErrUnexpectedEOF}, "503"},
		"SQL":                     {sqlError{errors.New("serialization")}, "40001"},
		"gRPC":                    {fmt.Errorf("publish: %w", grpcError{io.EOF}), "unavailable"},
		"refused":                 {fmt.Errorf("POST: %w", refused), "unreachable"},
		"no such host":            {&net.DNSError{Err: "no such host"}, "unreachable"},
		"timeout of a connection": {&net.DNSError{Err: "timeout", IsTimeout: true}, "timeout"},
		"deadline":                {fmt.Errorf("query: %w", context.DeadlineExceeded), "timeout"},
		"canceled":                {context.Canceled, "canceled"},
		"lease":                   {fmt.Errorf("x: %w", handler.ErrLeaseLost), "lease_lost"},
		"panic":                   {&handler.PanicError{Value: "boom"}, "panic"},
		"a plain error":           {errors.New("boom"), "*errors.errorString"},
		"a type":                  {handler.Reject(codedError{}), "github.com/sluice-go/sluice/middleware/otel_test.codedError"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, nil)
			h := k.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return c.err }))
			require.Equal(t, c.err, h.Handle(t.Context(), received(sqs, nil)))
			got, _ := attributesOf(k.spans.GetSpans()[0].Attributes)["error.type"].(string)
			require.Equal(t, c.want, got)
			for id := range k.metrics(t) {
				require.Contains(t, id, "error.type="+got+",")
			}
		})
	}
	// Methods that panic change nothing.
	k := newKit(t, nil)
	err := (*nilError)(nil)
	require.Same(t, err, k.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return err })).Handle(t.Context(), received(sqs, nil)))
	require.Len(t, k.spans.GetSpans(), 1)
}

func TestOperationsThatFailAreMeasured(t *testing.T) {
	k := newKit(t, nil)
	o := handler.Origin{Queue: "orders-sub", System: "gcp_pubsub", Server: "pubsub.googleapis.com"}
	for _, kind := range []string{"throttled", "denied", "unreachable"} {
		k.Observe(handler.Event{Kind: handler.EventReceiveFailed, Origin: &o, Err: &kindError{kind: kind}, Duration: 2 * time.Second})
	}
	k.Observe(handler.Event{Kind: handler.EventReceived, Origin: &o, N: 3, Duration: time.Second})
	const (
		queue = "messaging.destination.name=orders-sub,"
		of    = queue + "messaging.destination.subscription.name=orders-sub,messaging.operation.name=receive,messaging.operation.type=receive,messaging.system=gcp_pubsub,server.address=pubsub.googleapis.com}"
		base  = queue + "messaging.system=gcp_pubsub,server.address=pubsub.googleapis.com}"
	)
	want := map[string]float64{"messaging.client.operation.duration[s]{" + of: 1, "messaging.client.consumed.messages[{message}]{" + of: 3}
	for _, kind := range []string{"throttled", "denied", "unreachable"} {
		want["messaging.client.operation.duration[s]{error.type="+kind+","+of] = 1
		want["sluice.receive.failures[{failure}]{error.type="+kind+","+base] = 1
	}
	require.Equal(t, want, k.happened(t))
}

func TestSettlementsHaveSpans(t *testing.T) {
	o := handler.Origin{Queue: "orders-sub", System: "gcp_pubsub"}
	for _, c := range []struct {
		name   string
		event  handler.Event
		parent string
		extra  map[string]any
		status codes.Code
	}{
		{"ack", handler.Event{Action: handler.ActionAck, Message: received(o, map[string]string{"traceparent": parent})}, parentID,
			map[string]any{"sluice.verdict": "ack"}, codes.Unset},
		{"retry without a creation context", handler.Event{Action: handler.ActionRetry, Duration: time.Hour, Message: received(o, nil)}, "",
			map[string]any{"sluice.verdict": "retry"}, codes.Unset},
		{"failed", handler.Event{Action: handler.ActionDeadLetter, Err: &kindError{kind: "denied"}, Message: received(o, map[string]string{"googclient_traceparent": parent})}, parentID,
			map[string]any{"sluice.verdict": "dead_letter", "error.type": "denied"}, codes.Error},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, nil)
			c.event.Kind, c.event.Origin = handler.EventSettled, &o
			k.Observe(c.event)
			spans := k.spans.GetSpans()
			require.Len(t, spans, 1)
			s := spans[0]
			require.Equal(t, "settle orders-sub", s.Name)
			require.Equal(t, trace.SpanKindClient, s.SpanKind)
			require.Equal(t, c.status, s.Status.Code)
			require.Less(t, s.EndTime.Sub(s.StartTime), time.Minute, "the delay of a retry is not how long it took")
			want := map[string]any{
				"messaging.system": "gcp_pubsub", "messaging.destination.name": "orders-sub", "messaging.destination.subscription.name": "orders-sub",
				"messaging.operation.name": "settle", "messaging.operation.type": "settle", "messaging.message.id": "m-1",
			}
			for key, v := range c.extra {
				want[key] = v
			}
			require.Equal(t, want, attributesOf(s.Attributes))
			if c.parent == "" {
				require.Empty(t, s.Links)
				return
			}
			require.Equal(t, c.parent, s.Parent.SpanID().String())
			require.Equal(t, c.parent, s.Links[0].SpanContext.SpanID().String())
		})
	}
	k := newKit(t, nil)
	k.Observe(handler.Event{Kind: handler.EventSettled, Origin: &o})
	require.Empty(t, k.spans.GetSpans(), "what is not about a message")
	k.Observe(handler.Event{Kind: handler.EventSettled, Origin: &o, Message: received(o, nil), Answered: true})
	require.Empty(t, k.spans.GetSpans(), "what no request was made for")
}

func TestAProducersQueueIsNoSubscription(t *testing.T) {
	k := newKit(t, nil)
	o := handler.Origin{Queue: "orders", System: "gcp_pubsub"}
	m := &handler.Message{Body: []byte("x")}
	require.NoError(t, k.Prepare(o, otel.Room{})(t.Context(), m))
	_ = k.Send(o)(t.Context(), []*handler.Message{m}, func(context.Context, []*handler.Message) []error { return []error{&kindError{kind: "throttled"}} })
	for _, s := range k.spans.GetSpans() {
		require.NotContains(t, attributesOf(s.Attributes), "messaging.destination.subscription.name", s.Name)
	}
	spans := k.spans.GetSpans()
	require.Equal(t, attribute.StringValue("throttled").AsInterface(), attributesOf(spans[len(spans)-1].Attributes)["error.type"])
}

func TestBatchesAreMeasured(t *testing.T) {
	k := newKit(t, nil)
	h := k.Batch(handler.BatchHandlerFunc(func(_ context.Context, ms []*handler.Message) []error {
		if len(ms) == 1 {
			panic("boom")
		}
		return []error{nil, &kindError{kind: "throttled"}}
	}))
	m := received(sqs, map[string]string{"traceparent": parent})
	require.Len(t, h.HandleBatch(t.Context(), []*handler.Message{m, m}), 2)
	require.PanicsWithValue(t, "boom", func() { h.HandleBatch(t.Context(), []*handler.Message{m}) })
	const of = "messaging.destination.name=orders,messaging.operation.name=process,messaging.operation.type=process,messaging.system=aws_sqs,server.address=sqs.us-east-1.amazonaws.com}"
	require.Equal(t, map[string]float64{
		"messaging.process.duration[s]{error.type=throttled," + of: 1, "messaging.process.duration[s]{error.type=panic," + of: 1,
	}, k.metrics(t))
	spans := k.spans.GetSpans()
	require.Equal(t, "throttled", attributesOf(spans[0].Attributes)["error.type"])
	require.Equal(t, "panic", attributesOf(spans[1].Attributes)["error.type"])
	require.Equal(t, codes.Error, spans[1].Status.Code)
	require.Len(t, spans[0].Links, 2)
}
