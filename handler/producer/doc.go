// Package producer sends messages: it gathers the single messages of concurrent
// callers into the provider's batches, retries what may be retried, keeps the
// order of groups, and holds senders back when the queue is overloaded.
//
//	p, err := producer.New(sink, nil)
//	if err != nil {
//		return err
//	}
//	defer p.Close()
//	err = p.Send(ctx, &handler.Message{Body: body})
//
// # Batches
//
// [Producer.Send] returns when its messages were taken by the provider, or have
// failed. While no request is on its way, a message is sent at once: a single
// sender waits for no one. While requests are on their way, messages gather
// until they fill a batch, the requests have ended, or [Config.Linger] is over.
// Batches are bounded by count and by bytes.
//
// # Failures
//
// A message whose failure may pass (throttled, transient) is sent again, with
// backoff, for [Config.RetryFor]. The others go through: [Producer.Send] returns
// a [*SendError] that tells which messages failed and why.
//
// # Groups
//
// Where the queue keeps groups in order, one request at a time carries messages
// of a group, and a message that is retried holds the later ones of its group
// back. A message that fails for good fails the later ones of its group in the
// same call of Send; those of other calls are sent.
//
// # Overload
//
// With [Config.Pressure] the queue's depth is watched, and senders are blocked,
// refused with [ErrOverloaded] or shed by priority while it is too deep.
package producer
