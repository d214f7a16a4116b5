package sqslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

func realEvent(t testing.TB) events.SQSEvent {
	t.Helper()
	document, err := os.ReadFile("testdata/sqs-event.json")
	require.NoError(t, err)
	var e events.SQSEvent
	require.NoError(t, json.Unmarshal(document, &e))
	return e
}

// TestTheEventOfTheSDK has the document that aws-lambda-go ships.
func TestTheEventOfTheSDK(t *testing.T) {
	e := realEvent(t)
	r := newRig(t, rigOptions{})
	var got *handler.Message
	h := func(_ context.Context, m *handler.Message) error {
		got = m
		return errBoom
	}
	_, err := r.function(h, nil).Handle(t.Context(), e)
	require.ErrorContains(t, err, "arn:aws:sqs:us-west-2:123456789012:SQSQueue", "it is another queue's")
	require.Nil(t, got)

	e.Records[0].EventSourceARN = r.server.QueueARN(r.name)
	response, err := r.function(h, nil).Handle(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, []string{"Message Body"}, failed(t, e, response))
	require.Equal(t, "MessageID_1", got.ID)
	require.Equal(t, "Message Body", string(got.Body))
	require.Equal(t, 2, got.Attempt)
	require.True(t, got.EnqueuedAt.Equal(time.UnixMilli(1520621625029)))
	require.Equal(t, map[string]string{"Attribute1": "AttributeValue1", "Attribute2": "123", "Attribute3": "MTEwMA=="}, got.Attributes)
	require.Equal(t, handler.Origin{Queue: "orders", System: "aws_sqs", Server: got.Origin().Server, MaxDelay: 12*time.Hour - visibility}, got.Origin())
	require.ErrorIs(t, got.Lease().Extend(t.Context(), time.Minute), handler.ErrNoLease)
}

// TestMessagesAreReadAsTheDriverReadsThem sends what the driver must encode and
// compares what the handler sees with what was sent.
func TestMessagesAreReadAsTheDriverReadsThem(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		r := newRig(t, rigOptions{fifo: fifo})
		sent := []*handler.Message{
			{Body: []byte("text"), Group: "a"},
			{Body: []byte{0, 1, 0xff}, Group: "b", DedupeID: "d"},
			{Body: []byte{}, Group: "a group with spaces", Attributes: map[string]string{"empty": "", "NUL": "\x00"}},
			{Body: []byte("many"), Group: "c", Attributes: map[string]string{
				"1": "1", "2": "2", "3": "3", "4": "4", "5": "5", "6": "6", "7": "7", "8": "8", "9": "9", "10": "10", "11": "11"}},
			{Body: []byte("traced"), Group: "d", Attributes: map[string]string{"AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}},
		}
		r.send(sent...)
		e := r.event()
		require.Len(t, e.Records, len(sent))
		var mu sync.Mutex
		got := map[string]*handler.Message{}
		response, err := r.function(func(_ context.Context, m *handler.Message) error {
			mu.Lock()
			defer mu.Unlock()
			got[m.ID] = m
			return nil
		}, nil).Handle(t.Context(), e)
		require.NoError(t, err)
		require.Empty(t, failed(t, e, response))
		for _, want := range sent {
			m := got[want.ID]
			require.Equal(t, want.Body, m.Body)
			require.Equal(t, want.Attributes, m.Attributes)
			require.Equal(t, want.Group, m.Group)
			if want.DedupeID == "" {
				require.NotEmpty(t, m.DedupeID, "the identity that the sink made")
			} else {
				require.Equal(t, want.DedupeID, m.DedupeID)
			}
			require.Equal(t, 1, m.Attempt)
			require.WithinDuration(t, time.Now(), m.EnqueuedAt, time.Minute)
		}
	}
}

func TestTheTraceIsThatOfTheXRayHeader(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	telemetry, err := otel.New(&otel.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})
	require.NoError(t, err)
	r := newRig(t, rigOptions{})
	r.send(&handler.Message{Body: []byte("x"), Attributes: map[string]string{"AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}})
	fn, err := sqslambda.New(r.source, telemetry.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })),
		&sqslambda.Config{Observers: []handler.Observer{telemetry}})
	require.NoError(t, err)
	_, err = fn.Handle(t.Context(), r.event())
	require.NoError(t, err)
	ended := spans.Ended()
	require.Len(t, ended, 1)
	require.Equal(t, "5759e988bd862e3fe1be46a994272793", ended[0].SpanContext().TraceID().String())
	require.Equal(t, "53995c3f42cd8ad8", ended[0].Parent().SpanID().String())
}

func TestEventsThatCannotBeHandledAreRefusedWhole(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.send(message("1", ""), message("2", ""))
	good := r.event()
	for _, c := range []struct {
		name   string
		change func(*events.SQSMessage)
		want   string
	}{
		{"no ID", func(m *events.SQSMessage) { m.MessageId = "" }, "record 1: it has no messageId"},
		{"another queue", func(m *events.SQSMessage) { m.EventSourceARN += "2" }, "make one function for each queue"},
		{"another account's queue", func(m *events.SQSMessage) { m.EventSourceARN = "arn:aws:sqs:us-east-1:123456789012:orders" }, "make one function for each queue"},
		{"another service", func(m *events.SQSMessage) { m.EventSource = "aws:sns" }, `it comes from "aws:sns"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := events.SQSEvent{Records: append([]events.SQSMessage(nil), good.Records...)}
			c.change(&e.Records[1])
			var text bytes.Buffer
			fn := r.function(func(context.Context, *handler.Message) error { return nil }, &sqslambda.Config{Logger: slog.New(slog.NewTextHandler(&text, nil))})
			_, err := fn.Handle(t.Context(), e)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, `queue "orders"`)
			require.Zero(t, fn.Stats(), "something was handled")
			require.Contains(t, text.String(), "event refused")
		})
	}
}

func TestAnEmptyEvent(t *testing.T) {
	r := newRig(t, rigOptions{})
	response, err := r.function(func(context.Context, *handler.Message) error { return nil }, nil).Handle(t.Context(), events.SQSEvent{})
	require.NoError(t, err)
	document, err := json.Marshal(response)
	require.NoError(t, err)
	require.JSONEq(t, `{"batchItemFailures":[]}`, string(document))
}

// An event by hand, such as the console's test event, has no receipts: verdicts
// that need them fail alone.
func TestMessagesWithoutReceipt(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.send(message("1", ""), message("2", ""))
	e := r.event()
	for i := range e.Records {
		if e.Records[i].Body == "1" {
			e.Records[i].ReceiptHandle = ""
		}
	}
	fn := r.function(func(context.Context, *handler.Message) error { return handler.Reject(errBoom) }, nil)
	response, err := fn.Handle(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, failed(t, e, response))
	require.Equal(t, sqslambda.Stats{Counts: handler.Counts{Received: 2, DeadLettered: 1, Unsettled: 1}, Events: 1}, fn.Stats())
}

// Two deliveries of a message can be in an event: it is named once.
func TestAMessageThatIsInTheEventTwice(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.send(message("1", ""))
	e := r.event()
	e.Records = append(e.Records, e.Records[0])
	var calls sync.Map
	response, err := r.function(func(_ context.Context, m *handler.Message) error {
		if _, again := calls.LoadOrStore(m.ID, true); again {
			return nil
		}
		return errBoom
	}, nil).Handle(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, []events.SQSBatchItemFailure{{ItemIdentifier: e.Records[0].MessageId}}, response.BatchItemFailures)
}

func TestWholeBatch(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict error
		want    string // empty: no error
		left    []string
	}{
		{"all handled", nil, "", []string{"1", "2", "3"}}, // Lambda deletes them
		{"one failed", errBoom, `queue "orders": 1 of the batch's 3 messages failed`, []string{"2"}},
		{"one is retried for no reason", handler.RetryAfter(0, nil), "1 of the batch's 3 messages failed", []string{"2"}},
		{"one rejected", handler.Reject(errBoom), "", []string{"1", "3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.send(message("1", ""), message("2", ""), message("3", ""))
			e := r.event()
			fn := r.function(func(_ context.Context, m *handler.Message) error {
				if string(m.Body) == "2" {
					return c.verdict
				}
				return nil
			}, &sqslambda.Config{WholeBatch: true})
			response, err := fn.Handle(t.Context(), e)
			require.Empty(t, response.BatchItemFailures)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
				require.NotContains(t, err.Error(), "\n")
			}
			d, err := r.source.Depth(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, len(c.left), d.InFlight+d.Visible, "the handled ones of a batch that fails are deleted")
		})
	}
}

func TestFaultsOfTheConfigurationAreToldTogether(t *testing.T) {
	r := newRig(t, rigOptions{})
	_, err := sqslambda.New(nil, nil, &sqslambda.Config{Concurrency: -1, Margin: -1, Observers: []handler.Observer{nil}})
	for _, want := range []string{"source is nil", "handler is nil", "Concurrency is -1", "Margin is -1ns", "Observers[0] is nil"} {
		require.ErrorContains(t, err, want)
	}
	_, err = sqslambda.New((&drivertest.Flaky{}).Source(r.source), handler.HandlerFunc(nil), nil)
	require.ErrorContains(t, err, "must be a source of package sqs")
}
