package otel

import (
	"context"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
)

// The attributes that carry trace context, besides W3C's traceparent and
// tracestate.
const (
	// AttributeXRay is the attribute as which the SQS driver gives and takes
	// the message system attribute AWSTraceHeader.
	AttributeXRay = "AWSTraceHeader"
	// pubsubPrefix is what Google's own Pub/Sub clients put before W3C's names.
	pubsubPrefix = "googclient_"
	// xrayHeader is the name by which the X-Ray propagator asks.
	xrayHeader = "X-Amzn-Trace-Id"
)

// extract returns the span context that m carries, or an invalid one.
func (t *Telemetry) extract(ctx context.Context, m *handler.Message) trace.SpanContext {
	as := m.Attributes
	w3c, pubsub, xray := as["traceparent"] != "", as[pubsubPrefix+"traceparent"] != "", as[AttributeXRay] != ""
	if !w3c && !pubsub && !xray {
		return trace.SpanContext{}
	}
	// What the context has itself must not be taken for the message's.
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	var found trace.SpanContext
	if w3c {
		found = trace.SpanContextFromContext(t.propagator.Extract(ctx, propagation.MapCarrier(as)))
	}
	if pubsub && !found.IsValid() {
		found = trace.SpanContextFromContext(t.propagator.Extract(ctx, pubsubCarrier(as)))
	}
	if xray && !found.IsValid() {
		found = trace.SpanContextFromContext(t.xray.Extract(ctx, xrayCarrier(as)))
	}
	return found
}

// withBaggage returns ctx with the baggage that m carries, if that is read. A
// message without any, or with what is none, leaves what ctx has.
func (t *Telemetry) withBaggage(ctx context.Context, m *handler.Message) context.Context {
	if !t.baggage || m.Attributes["baggage"] == "" {
		return ctx
	}
	// The propagator would tell OpenTelemetry's error handler of each that is broken.
	b, err := baggage.Parse(m.Attributes["baggage"])
	if err != nil {
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, b)
}

func valid(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

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
		header := make(propagation.MapCarrier, 1)
		t.xray.Inject(ctx, header)
		if v := header[xrayHeader]; v != "" {
			m.SetAttribute(AttributeXRay, v)
		}
	}
}

// Room is how much a queue carries. Zero fields are without limit.
type Room struct {
	// Attributes is how many attributes a message may have.
	Attributes int
	// Bytes is how long body and attributes may be together.
	Bytes int
}

// fits is true where m may have one more attribute. AWSTraceHeader counts for
// neither limit: SQS carries it apart.
func (r Room) fits(m *handler.Message, name, value string) bool {
	if _, ok := m.Attributes[name]; ok {
		return true // it is replaced, by one of about its length
	}
	if r.Attributes > 0 {
		n := len(m.Attributes)
		if _, ok := m.Attributes[AttributeXRay]; ok {
			n--
		}
		if n >= r.Attributes {
			return false
		}
	}
	if r.Bytes > 0 {
		// "String" is the data type that SQS counts with each attribute.
		size := len(m.Body) + len(name) + len(value) + len("String")
		for k, v := range m.Attributes {
			size += len(k) + len(v) + len("String")
		}
		if size > r.Bytes {
			return false
		}
	}
	return true
}

// pubsubCarrier reads the attributes of Google's own clients.
type pubsubCarrier map[string]string

func (c pubsubCarrier) Get(key string) string { return c[pubsubPrefix+key] }
func (c pubsubCarrier) Set(key, value string) { c[pubsubPrefix+key] = value }
func (c pubsubCarrier) Keys() []string        { return nil }

// xrayCarrier reads SQS's system attribute.
type xrayCarrier map[string]string

func (c xrayCarrier) Get(key string) string {
	if key == xrayHeader {
		return c[AttributeXRay]
	}
	return ""
}
func (c xrayCarrier) Set(key, value string) { c[key] = value }
func (c xrayCarrier) Keys() []string        { return nil }
