package otel

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/handler"
)

// The attributes that carry trace context, besides W3C's traceparent and
// tracestate.
const (
	// attributeXRay is the attribute as which the SQS driver gives and takes
	// the message system attribute AWSTraceHeader.
	attributeXRay = "AWSTraceHeader"
	// pubsubPrefix is what Google's own Pub/Sub clients put before W3C's names.
	pubsubPrefix = "googclient_"
)

func valid(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

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
		if _, ok := m.Attributes[attributeXRay]; ok {
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
