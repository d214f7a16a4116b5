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
// [Producer.Send] returns when the provider has taken its messages, or they have
// failed. While no request is on its way, a message is sent immediately: a single
// sender does not wait. While requests are on their way, messages gather until
// they fill a batch, the requests have ended, or [Config.Linger] is over. Batches
// are bounded by count and by bytes.
//
// # Failures
//
// A message that fails temporarily (throttled, transient) is sent again, with
// backoff, for [Config.RetryFor]. [Producer.Send] returns any other failure, in a
// [*SendError] that lists the messages that failed and why.
//
// # Identity
//
// A message without a dedupe ID gets an identity before the first try. It is the
// Message.DedupeID that the receiver sees, in each delivery, in the dead-letter
// queue and after a redrive: the idempotency middleware's default key.
//
// A retry can double a message: if the provider has taken it and the answer was
// lost, the next try sends it again. A FIFO queue drops the second one if the
// tries are at most five minutes apart. On other queues both are delivered, with
// the same identity, and the idempotency middleware does the work once.
//
// A second call of Send is a new message with a new identity. Calling Send again
// for a message that failed with [ErrUnknown] is safe only if the caller set the
// message's dedupe ID.
//
// # Groups
//
// If the queue is ordered, only one request at a time carries messages of a
// group, and a message that is retried delays the later ones of its group. If
// the provider may accept some messages of a request and refuse others, as SQS
// does, a request has at most one message of a group: a group sends one message
// per round trip, and different groups share requests. A message that fails
// permanently fails the later ones of its group in the same call of Send;
// messages of other calls are sent.
//
// # Overload
//
// With [Config.Pressure] the producer watches the queue's depth. While the
// queue is too deep, it blocks senders, refuses messages with [ErrOverloaded],
// or sheds them by priority.
package producer
