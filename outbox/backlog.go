package outbox

import "time"

// A Backlog counts the pending rows of one queue, for operators. Each row is in one of the
// first four numbers.
type Backlog struct {
	// Queue is the queue's name.
	Queue string
	// Due rows can be sent, or wait for an earlier one of their group.
	Due int64
	// Sending rows belong to a relay at this moment.
	Sending int64
	// Delayed rows are not due.
	Delayed int64
	// Retrying rows wait after a failure.
	Retrying int64
	// Failing counts the rows whose latest attempt failed. They are also in Due, Sending or
	// Retrying.
	Failing int64
	// Oldest is the age of the oldest row that is due, since it became due. Negative means
	// that none is due.
	Oldest time.Duration
}
