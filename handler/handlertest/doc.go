// Package handlertest lets a program test its handler together with the
// middleware around it, without a queue, a provider or a runtime.
//
// A [Queue] delivers messages to a handler as a provider would: it redelivers
// after the delay of the verdict, counts attempts, dead-letters a message that
// is rejected or has used up its attempts, and redelivers a message whose lease
// is lost. A postponed message ([handler.Postpone]) is redelivered after its
// delay and has spent no attempt.
//
//	q, err := handlertest.New(handler.Chain(charge, retries), nil)
//	...
//	q.Send(&handler.Message{Body: []byte(`{"amount":5}`)})
//	deliveries, err := q.Drain(ctx)
//	// deliveries[0].Verdict, q.DeadLetters(), q.Pending() ...
//
// # Time
//
// By default a Queue goes by the time package, so that in a testing/synctest
// bubble hours of retries pass in a moment, for the handler and its middleware as
// well. That is the way to test what reads the time itself. Without a bubble,
// give the Queue a [Clock] that the test moves by hand: delays and leases then
// follow it, and [Queue.Drain] moves it to the next message that is due.
//
// # Leases
//
// Each delivery has a [Lease] with a deadline that is really enforced: the
// handler's context is canceled with handler.ErrLeaseLost when it passes. The
// lease can be kept, extended, made to fail, or revoked; a handler under test
// obtains it by m.Lease().(*handlertest.Lease).
//
// # Limits
//
// A Queue neither orders groups nor removes duplicates: two messages sent with
// the same ID are two deliveries of one message, which every provider makes
// occasionally. It depends on the standard library only.
package handlertest
