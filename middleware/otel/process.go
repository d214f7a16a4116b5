package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

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
			option = p.t.failed(l.process, err)
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
