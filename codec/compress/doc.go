// Package compress compresses message bodies with gzip or zstd and says so in the
// attribute content-encoding, which is read in any case, so that a body that is too large or too dear for a
// queue travels smaller.
//
//	codec, err := compress.Codec(handler.JSON, nil)
//	h := handler.Typed(codec, charge)
//
// or, for handlers that read bodies themselves,
//
//	inflate, err := compress.Middleware(nil)
//	h := handler.Chain(charge, inflate)
//
// A message without the attribute, or with "identity", is taken as it is, so that
// senders can be moved one after the other. An encoding that is not known, a
// stream that is broken, and one that would become larger than Config.MaxBytes
// are rejected: another attempt would find the same bytes.
//
// A compressed body is binary. The SQS driver carries it as base64, a third
// longer, so that less than a quarter saved is nothing saved there.
//
// # Where it stands
//
// The middleware stands inside everything that handles messages as they were
// received (otel, log, idempotency, backoff) and outside what reads bodies. It
// hands on a copy: the message itself keeps the compressed body and its
// attribute, so that it is retried and dead-lettered as it was received. Outside
// a middleware that hashes bodies, such as an idempotency key, it would have
// equal messages of different encodings be equal, but pay for the decompression
// of each duplicate. Around a large-payload middleware it would find a pointer
// where it looks for a compressed body: that one stands outside it. With the
// codec inside the handler no middleware is needed; both together are harmless,
// since the copy has no content-encoding.
package compress
