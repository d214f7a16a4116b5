// Package handlertest lets a program test its handler together with the
// middleware around it, without a queue, a provider or a runtime.
//
// A [Queue] delivers messages to a handler and does with them what a provider
// would: it redelivers after the delay of the verdict, counts attempts, moves a
// message to the dead letters when it is rejected or its attempts are used up,
// and takes a message back when its lease is lost. A postponed message
// ([handler.Postpone]) comes again after its delay and has spent no attempt.
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
// handler's context is cancelled with handler.ErrLeaseLost when it passes. The
// lease can be kept, extended, made to fail, or taken away; a handler under test
// gets at it as m.Lease().(*handlertest.Lease).
//
// # What it is not
//
// A Queue keeps no order of groups and removes no duplicates: two messages sent
// with the same ID are two deliveries of one message, as every provider makes
// now and then. It depends on the standard library only.
package handlertest
