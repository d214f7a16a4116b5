// Package job gives each kind of work a Go type. A job is a struct with a method Kind;
// a [Client] enqueues it, and [Add] has a router hand it to a typed function:
//
//	type SendEmail struct{ To string }
//
//	func (SendEmail) Kind() string { return "send-email" }
//
//	err := job.Add(router, func(ctx context.Context, j SendEmail) error { return deliver(ctx, j.To) })
//	…
//	id, err := client.Enqueue(ctx, SendEmail{To: "a@example.com"}, &job.Options{Delay: time.Minute})
//
// A job's message has the kind in the attribute "type" and the struct, encoded as JSON
// by default, as its body. The router (package handler/route) is an ordinary handler: a
// consumer, AWS Lambda or a push endpoint runs it, with any middleware.
//
// # Unique jobs and transactions
//
// If the queue's sender is a [Table], Options.Unique keeps a second job with a key from being
// written while one is pending, Options.Debounce replaces the pending one, and Options.Tx
// writes a job in the caller's transaction. Function OpenJobs of package service opens such a
// client by the configuration.
//
// # Versions
//
// A kind is a contract between the programs that enqueue it and those that work. A field
// can be added: old workers ignore it, and new ones see its zero value in old jobs. Any
// other change is another kind, "send-email.v2", say, with a struct of its own. While
// both are in use, a worker adds both. Workers that do not know the new kind yet postpone
// it for the router's grace period (route.Config.Grace), so that a rolling deploy in any
// order loses nothing.
//
// # Identity
//
// Options.ID is the job's identity. A FIFO queue drops a second job with it for five
// minutes; on other queues package idempotency handles the first only. A job without one
// gets an identity of its own when it is sent.
package job
