package otel

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
)

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

// keep writes the creation context that m has in the other forms that are asked
// for. Baggage that came with it stays.
func (t *Telemetry) keep(ctx context.Context, creation trace.SpanContext, m *handler.Message, room Room) {
	if old := m.Attributes["baggage"]; old != "" {
		defer m.SetAttribute("baggage", old)
	}
	t.inject(trace.ContextWithRemoteSpanContext(ctx, creation), m, room)
}

// Send returns the producer's hook around one request: it makes a span "send
// QUEUE", linked to the span that created each message, and counts what was
// sent.
func (t *Telemetry) Send(o handler.Origin) func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
	l := t.labelsOf(o)
	attributes := with(l.base, semconv.MessagingOperationName("send"), semconv.MessagingOperationTypeSend)
	good := metric.WithAttributeSet(attribute.NewSet(attributes...))
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
			t.sent.Add(ctx, 1, failed(attributes, err))
		}
		if ok := len(ms) - bad; ok > 0 {
			t.sent.Add(ctx, int64(ok), good)
		}
		option := good
		if first != nil {
			option = failed(attributes, first)
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
