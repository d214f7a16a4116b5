// Package consumer runs a [handler.Handler] on a queue: it receives, keeps
// leases, bounds concurrency, carries out verdicts in batches and drains when it
// is told to stop.
//
//	c, err := consumer.New(source, h, nil)
//	if err != nil {
//		return err
//	}
//	return c.Run(ctx) // until ctx is done, then drained
//
// # Receiving
//
// A receive never asks for more messages than there are free handler slots, so
// that nothing is leased that no one works on. One poller long-polls an idle
// queue: three requests a minute. More pollers, up to [Config.MaxPollers], start
// only while receives come back full and slots are free, and end with the first
// receive that comes back empty. While the queue is busy a poller waits a little
// for enough free slots to ask for a whole batch.
//
// # Leases
//
// A message that waits here for its turn is kept alive. From the start of its
// handler on, the lease runs down unless the handler asks for it to be kept
// ([handler.Lease], the heartbeat middleware). One timer drives all leases, and
// extensions are sent in batches. When a lease is lost the handler's context is
// cancelled with cause [handler.ErrLeaseLost], and its verdict is not carried
// out.
//
// # Verdicts
//
// Verdicts are gathered into batches of the provider's size and sent when a
// batch is full, when the oldest has waited [Config.SettleDelay], or at once
// when nothing else is running on a queue that is not busy. One that fails is
// tried again while the message's lease lasts. A panic, and a handler that ends
// its goroutine, are a retry.
//
// # Groups
//
// Where the queue keeps groups in order, messages of one group are handled one
// at a time, in order, and those that wait hold no handler slot. When one fails,
// the later ones that were already received go back unhandled. The next message
// of a group starts when the handler of the one before has returned, and does
// not wait for its ack to be confirmed; after a rejection it does wait.
//
// # Stopping
//
// When Run's context is done: no more receives; a receive that is on its way
// has one second to end, and what it brings is given back; so is what has not
// been started. Handlers keep running, with their leases kept, for
// [Config.DrainTimeout]; then their contexts are cancelled with cause
// [handler.ErrStopped], and they have [Config.StopTimeout] to return. Verdicts
// are flushed, the source is closed, and Run returns: nil where all was drained,
// [ErrDrainTimeout] otherwise.
package consumer
