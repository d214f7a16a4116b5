// Package route calls the handler that belongs to a message's kind, so that one
// queue can carry many kinds of messages.
//
//	r, err := route.New(nil) // kinds are in the attribute "type"
//	err = r.Add("resize", resize, nil)
//	err = r.Add("mail", mail, &route.Options{Timeout: time.Minute})
//	c, err := consumer.New(source, r, nil)
//
// A [Router] is an ordinary [handler.Handler]. Middleware around it sees every
// message; middleware in [Options] sees the messages of one kind.
//
// # Kinds that nobody knows
//
// During a rolling deploy, new producers send kinds that old workers have no
// handler for. A router postpones such a message: it is not handled, it spends no
// attempt if the runtime or the queue can help it, and a newer worker can take it
// when the old one stops. When the grace period is over, the router rejects the
// message with the error "no handler for kind …", and it goes to the dead-letter
// queue. The period starts when the message was enqueued or when this router first
// saw the kind, whichever is later, so that a message that waited long in the queue
// has a grace period too.
//
// # Metrics
//
// Senders choose kinds, so a kind must not be used as the label of a metric.
// [Router.Label] returns the kind of a message if it was added, and [Unknown]
// otherwise.
package route
