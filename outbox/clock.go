package outbox

import "time"

// A Clock is how far a schedule has come, for operators.
type Clock struct {
	// Name is the schedule's.
	Name string
	// Last is the latest time that has been dealt with. It is when the schedule began if
	// Messages is zero.
	Last time.Time
	// Messages counts the times that have come since the schedule began, those without a
	// message because of [OverlapSkip] included.
	Messages int64
}
