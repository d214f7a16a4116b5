package otel

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
)

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
	waits    [len(deliveries)]metric.MeasurementOption

	begin sync.Once // of the consumer's counters
	ages  ages
}

// The values of sluice.delivery.
const (
	deliveryUnknown = iota
	deliveryFirst
	deliveryRetry
)

var deliveries = [...]string{deliveryUnknown: "unknown", deliveryFirst: "first", deliveryRetry: "retry"}

// waitOf returns the labels of a message's wait by its attempt.
func (l *labels) waitOf(attempt int) metric.MeasurementOption {
	return l.waits[min(max(attempt, deliveryUnknown), deliveryRetry)]
}

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
	for d, name := range deliveries {
		l.waits[d] = metric.WithAttributeSet(attribute.NewSet(with(l.base, deliveryKey.String(name))...))
	}
	return l
}

// with returns a new slice, so that a shared base is never written into.
func with(base []attribute.KeyValue, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(base[:len(base):len(base)], more...)
}
