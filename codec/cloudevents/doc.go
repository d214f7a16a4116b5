// Package cloudevents carries CloudEvents 1.0 in messages, in structured and in
// binary mode, as the types of the CloudEvents SDK for Go.
//
//	h := handler.Typed(cloudevents.Codec(cloudevents.Auto), func(ctx context.Context, m *handler.Message, e event.Event) error {
//		…
//	})
//
// In structured mode the body is the event as JSON, and the attribute Content-Type is
// application/cloudevents+json. In binary mode the body is the event's data,
// Content-Type its datacontenttype, and each other attribute of the event is a
// message attribute with the prefix ce-, as in the CloudEvents bindings for HTTP and
// Pub/Sub. No value is percent-encoded: message attributes carry any UTF-8. Decoding
// distinguishes the modes by the Content-Type, whatever the codec's mode. It refuses
// the batched mode, an event format other than JSON, a version other than 1.0, and a
// message without an event. With handler.Typed that is a rejection.
//
// Binary mode returns the values of extensions as strings, since attributes have no
// types. Nothing else differs.
//
// # Trace context
//
// The extensions traceparent and tracestate (distributed tracing) are also the
// message attributes of those names, which the otel middleware and most others
// read. Encode sets the attributes if the message has none and, in binary mode, has
// room for them. Decode sets the extensions of an event without them from the
// attributes. If both exist, the extension names the origin of the event and the
// attribute the hop that sent it. The codec changes neither.
//
// # Order
//
// A codec is called in the handler, below all middleware, so an event that can't be
// decoded passes through log, otel and backoff as a rejection. Wrap it in a codec that
// changes bodies, as in compress.Codec(cloudevents.Codec(…)). In the reverse order a
// compressed body would be taken for the event's data, and content-encoding, which is
// not a CloudEvents attribute, would stay on the message unread. Remove an SNS or
// EventBridge envelope before decoding.
package cloudevents
