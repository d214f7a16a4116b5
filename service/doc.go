// Package service turns a configuration into a running program. It opens every queue that
// has a handler, builds the middleware that the queue's section consumer configures, and
// runs a consumer for each queue. The consumers share telemetry, logger, admin listener and
// drain.
//
//	conf, err := config.Load(nil)
//	...
//	s, err := service.New(conf, &service.Options{Mux: all.Mux(), OpenStore: open.URL, Telemetry: telemetry.Setup})
//	...
//	s.Handle("orders", handler.Typed(handler.JSON, charge))
//	service.Exit(s.Run(context.Background()))
//
// A program links the providers of its [Options].Mux, the stores of OpenStore and the
// exporters of Telemetry, and no others.
//
// # The stack
//
// Around each handler is the standard stack of package middleware, in its order. The
// configuration owns its parts: retry, timeout, heartbeat, idempotency, rate_limit, breaker
// and bulkhead of the section consumer, and the delays of the queue's section retry.
// [Options].Middleware adds middleware that only code can supply. If both configure a part,
// the service fails at its start, with an error that names the key and its line. Without a
// section consumer a queue has the standard stack's defaults: retries after 1 second to 10
// minutes, and a heartbeat.
//
// Idempotency stores are opened once for each URL. Expired keys of SQL stores are removed
// every ten minutes.
//
// # Delays and schedules
//
// If the configuration has a delay_store, the relay of its table (package outbox) and the
// schedules run beside the queues, unless service.relay is false. They share telemetry,
// listener and drain with them. [Options].RelayOnly runs them alone. The program opens the
// table:
//
//	conf, err := config.Load(&config.Options{OpenTable: opentable.URL}) // of package outbox/opentable
//
// A table that does not exist or is of another version is an error at the start.
//
// # Pause and limits
//
// Operators pause and limit queues while they are consumed, with sluice pause, resume and
// limit: see package middleware/control. The store of these states is the one that
// service.control of the configuration names, or else the one beside a queue's idempotency
// store. Run reads it before anything is received, and fails if it can't; from then on the
// queues keep their last known state while it can't be read.
//
// # Groups
//
// A queue has its own consumer, unless the configuration puts it into a group: the queues of
// a group share one consumer's handlers, by weight or strictly by priority.
//
// # The admin listener
//
// It serves /livez and /readyz for probes, /healthz for people, /metrics for Prometheus if
// telemetry has metrics to be scraped, and, if the configuration has pprof: true in its
// section service, profiles below /debug/pprof/. It listens on the loopback interface
// unless the configuration names a host: in a container that is probed from outside, set
// service.admin to 0.0.0.0:9464. The state of the service is the worst of its queues';
// with a heartbeat a handler counts as stuck half a minute after its timeout, or after 15
// minutes if it has none.
//
// # Stopping
//
// A signal, or the end of Run's context, ends receiving on all queues. Messages in hand are
// handled for [Options].DrainTimeout; then handlers are canceled and have StopTimeout to
// return. Stores, telemetry and the admin listener are closed within 1.5 seconds after
// that. A second signal ends the drain, and Run returns consumer.ErrDrainTimeout if that cut
// handlers off. The process exits with status 1 at a third signal, or if Run has not
// returned three seconds after the second.
//
// If one queue fails permanently, for example because a permission was revoked, all queues
// are drained and Run returns the error. A process that served only the others would look
// healthy.
//
// # The log
//
// The logger gets a line at the start, one for each queue with its concurrency and stack,
// one when the stop begins, and one at its end with the numbers of messages; beside them
// what consumers and middleware report, such as an outage.
package service
