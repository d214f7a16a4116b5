// Package cloudevents carries CloudEvents 1.0 in messages, in structured and in
// binary mode, as the types of the CloudEvents SDK for Go.
//
//	h := handler.Typed(cloudevents.Codec(cloudevents.Auto), func(ctx context.Context, m *handler.Message, e event.Event) error {
//		…
//	})
//
// In structured mode the body is the event as JSON, and the attribute
// Content-Type is application/cloudevents+json. In binary mode the body is the
// event's data, Content-Type its datacontenttype, and each other attribute of the
// event is a message attribute with the prefix ce-, as the CloudEvents bindings
// for HTTP and Pub/Sub have it. No value is percent-encoded: message attributes
// carry any UTF-8. Decoding knows both modes by the Content-Type, whatever the
// codec's mode, and refuses what is neither: the batched mode, an event format
// that is not JSON, another version than 1.0, and a message that has no event in
// it. With handler.Typed that is a rejection.
//
// The values of extensions come back from binary mode as strings, since the
// attributes say nothing of their types. Nothing else differs.
//
// # Trace context
//
// The extensions traceparent and tracestate (distributed tracing) are also the
// message attributes of those names, which the otel middleware and most others
// read: Encode sets the attributes where the message has none and, in binary
// mode, where there is room; Decode gives an event without the extensions the
// attributes' values. Where both are there, the extension says where the event
// began and the attribute which hop sent it, and each stays what it is.
//
// # Where it stands
//
// A codec stands inside the handler, below all middleware, so that an event that
// cannot be decoded passes through log, otel and backoff as a rejection. Around
// it goes a codec that changes bodies, as in compress.Codec(cloudevents.Codec(…)):
// inside out, a compressed body would be taken for the event's data, and
// content-encoding, which is no CloudEvents attribute, would stay on the message
// unread. An SNS or EventBridge envelope is taken off before.
package cloudevents
