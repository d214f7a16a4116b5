// Package handler is the contract of a queue handler: the portable [Message],
// the [Handler] interface, the verdicts that a handler returns, the [Lease] of
// a message, and the codecs that decode bodies into values.
//
// A handler is an ordinary function:
//
//	h := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
//		return charge(ctx, m.Body)
//	})
//
// The error that it returns is its verdict:
//
//	nil                  ack: the work is done
//	RetryAfter(d, err)   retry, visible again after d
//	any other error      retry, after the delay that the backoff middleware or
//	                     the queue's own policy gives
//	Reject(err)          dead-letter now; so does backoff.Permanent(err) of
//	                     github.com/cenkalti/backoff
//	Drop(err)         drop: never delivered again, counted and logged
//	panic                retry; the runtime recovers and logs it
//
// Delivery is at least once on every provider: a handler may see the same
// message again, even at the same time in another process. Make it idempotent,
// or put the idempotency middleware around it.
//
// The package depends on the standard library only. The code of a handler
// imports only this package of Sluice, whatever the provider.
package handler
