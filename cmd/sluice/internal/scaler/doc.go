// Package scaler reports to KEDA how many replicas a queue needs, as an external scaler.
//
// The metric of a queue is how many seconds one replica would take for its backlog, those
// in flight included, and the target of each replica is the time in which the backlog
// should be drained. KEDA divides one by the other:
//
//	replicas = (visible + in flight) / (messages a second of a replica) / drain time
//
// The throughput of a replica is measured by the counters of the workers, over the times
// at which messages waited for them. At other times a worker handles what
// arrives, which says nothing of what it could.
//
// A queue is active while it has a message that is visible or in flight, so that KEDA
// does not scale to zero over running work; a count that failed is an error, never zero.
package scaler
