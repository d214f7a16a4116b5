// Package compress compresses message bodies with gzip or zstd, so that a body that
// is too large or too expensive for a queue becomes smaller. The attribute
// content-encoding, which is read in any case, names the encoding.
//
//	codec, err := compress.Codec(handler.JSON, nil)
//	h := handler.Typed(codec, chargeOrder)
//
// or, for handlers that read bodies themselves,
//
//	inflate, err := compress.Middleware(nil)
//	h := handler.Chain(charge, inflate)
//
// A message without the attribute, or with "identity", is passed on unchanged, so
// senders can be switched one after the other. A message with an unknown encoding, a
// corrupt stream, or a body that would be larger than Config.MaxBytes is rejected:
// another attempt would find the same bytes.
//
// A compressed body is binary. The SQS driver sends it as base64, which is a third
// longer, so compression that saves less than a quarter is useless there.
//
// # Order
//
// Put it inside the middleware that handles messages as received (otel, log,
// idempotency, backoff) and outside any middleware that reads bodies. It passes on a
// copy: the message itself keeps the compressed body and its attribute, so it is
// retried and dead-lettered as it was received. Outside of a middleware that hashes
// bodies, such as an idempotency key, it would make equal messages of different
// encodings equal, at the cost of decompressing each duplicate. A claim check must be
// outside of it, or it would find a pointer in place of the compressed body. A handler
// that uses the codec needs no middleware; both together are harmless, since the copy
// has no content-encoding.
package compress
