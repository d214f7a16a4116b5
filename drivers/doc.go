// Package drivers is the port between Sluice's runtime and a queue provider. It
// defines the interfaces [Source] and [Sink] that a driver implements, optional
// interfaces, the [Capabilities] of a queue, the errors that drivers return, and
// the [Mux] that opens a queue by URL.
//
// Users of Sluice meet this package only where they open a queue. A driver is a
// thin translation to its provider's API: it does IO and mapping. Batching over
// time, concurrency, retries, heartbeats and draining are the runtime's, once
// for all drivers. Package drivertest is the law that every driver obeys.
package drivers
