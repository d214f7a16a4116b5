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
	"github.com/sluice-go/sluice/internal/invoke"
)

// Middleware returns the middleware that makes a span of each message.
//
// The span's parent is the span that created the message, or, where the handler
// is called within a span already (a Lambda, an HTTP push), that one; it is
// linked to the creating span in both cases, as the conventions ask.
func (t *Telemetry) Middleware() handler.Middleware {
	return func(next handler.Handler) handler.Handler {
		return &processor{t: t, next: next}
	}
}

type processor struct {
	t    *Telemetry
	next handler.Handler
}

// Handle implements handler.Handler.
func (p *processor) Handle(ctx context.Context, m *handler.Message) error {
	origin := m.Origin()
	l := p.t.labelsOf(origin)
	options := l.start
	if creation := p.t.extract(ctx, m); creation.IsValid() {
		options = append(options[:len(options):len(options)], trace.WithLinks(trace.Link{SpanContext: creation}))
		if !trace.SpanContextFromContext(ctx).IsValid() {
			ctx = trace.ContextWithRemoteSpanContext(ctx, creation)
		}
	}
	ctx = p.t.withBaggage(ctx, m)
	ctx, span := p.t.tracer.Start(ctx, l.name, options...)
	if span.IsRecording() {
		span.SetAttributes(messageAttributes(m, origin.System)...)
	}

	begun := time.Now()
	// A panic passes through: the span must end, and the runtime must see it.
	returned := false
	defer func() {
		if !returned {
			p.t.panicked(ctx, span, l, begun)
		}
	}()
	err := p.next.Handle(ctx, m)
	returned = true

	took := time.Since(begun)
	end(span, func() {
		option := l.handled
		if isFault(err) {
			option = failed(l.process, err)
		}
		p.t.processDuration.Record(ctx, took.Seconds(), option)
		finish(span, err)
	})
	return err
}

// end calls record and ends the span. Telemetry never changes a verdict: both call the
// user's code (a SpanProcessor, the methods of an error), which may panic, or end its
// goroutine, which therefore is not the handler's. One goroutine for both costs about
// half a microsecond.
func end(span trace.Span, record func()) {
	if invoke.DoApart(func() { record(); span.End() }) != nil {
		_ = invoke.DoApart(func() { span.End() }) // which does nothing if it has ended
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

// isFault is false for an ack, for a message that the handler chose to drop, and
// for one that was put off before anyone worked on it.
func isFault(err error) bool {
	if invoke.Is(err, handler.ErrPostponed) {
		return false
	}
	a := invoke.VerdictOf(err).Action
	return a == handler.ActionRetry || a == handler.ActionDeadLetter
}

// finish writes a verdict onto a span.
func finish(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(verdictKey.String(invoke.VerdictOf(err).Action.String()))
	if isFault(err) {
		span.SetAttributes(errorType(err))
		span.SetStatus(codes.Error, invoke.Text(err))
	}
}

// messageAttributes are those that are worth their cost only on a span that is
// recorded.
func messageAttributes(m *handler.Message, system string) []attribute.KeyValue {
	as := make([]attribute.KeyValue, 0, 6)
	as = append(as, semconv.MessagingMessageBodySize(len(m.Body)))
	if m.ID != "" {
		as = append(as, semconv.MessagingMessageID(m.ID))
	}
	if m.Attempt > 0 {
		as = append(as, attemptKey.Int(m.Attempt))
	}
	if system == semconv.MessagingSystemGCPPubSub.Value.AsString() {
		if m.Group != "" {
			as = append(as, semconv.MessagingGCPPubSubMessageOrderingKey(m.Group))
		}
		if m.Attempt > 0 {
			as = append(as, semconv.MessagingGCPPubSubMessageDeliveryAttempt(m.Attempt))
		}
	}
	return as
}

// Batch returns a batch handler that makes one span of each call of h, linked to
// the span that created each message, and measures the call once. Baggage of one
// message is not the batch's: none is read.
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
				option = failed(l.process, first)
				span.SetAttributes(errorType(first))
				span.SetStatus(codes.Error, fmt.Sprintf("%d of %d messages failed", bad, len(ms)))
			}
			t.processDuration.Record(ctx, took.Seconds(), option)
		})
		return errs //nolint:spancheck // end has ended it
	})
}
