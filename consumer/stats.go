package consumer

import "github.com/sluice-go/sluice/handler"

// Stats are a consumer's numbers: totals since it was made, and its present state.
type Stats struct {
	// Counts are the numbers of the events that the consumer has observed itself;
	// the events of middleware, such as duplicates, are not among them.
	handler.Counts
	// Panics is the number of handlers, and of functions given to OnExtend, that
	// panicked; a batch handler's panic counts once. HookFailures is the number of
	// calls of observers and gates that panicked.
	Panics, HookFailures uint64

	// Running is the number of handlers that are running, and Waiting the number of
	// messages that wait for a slot or for their group. Parked is the number of
	// messages held for a time: postponed messages, failed heads of ordered groups,
	// and retries whose delay is longer than the provider's longest, if it has any.
	// Settling is the number of verdicts that are being carried out.
	Running, Waiting, Parked, Settling int
	// Paused is the number of queues from which a gate holds back receiving.
	Paused int
	// Pollers is the number of receives that may currently run concurrently.
	Pollers int
}
