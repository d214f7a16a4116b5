// Command quickstart is the worker of the README: it handles orders from the queue that
// sluice.yaml names, with each effect exactly once, retries, a heartbeat, telemetry,
// health and a graceful stop. Its configuration is beside it. The table of its effects must
// be there:
//
//	CREATE TABLE charges (id TEXT, customer TEXT)
//
// Command send, below it, sends an order.
package main
