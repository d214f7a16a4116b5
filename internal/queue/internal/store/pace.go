package store

import "time"

const (
	// MoveStep is the most messages that a task moves in one operation, so that
	// other operations do not wait long.
	MoveStep = 100
	// LookStep is the most messages that it examines in one operation, because
	// some cannot be moved.
	LookStep = 10 * MoveStep
	// KeepMoves is the number of tasks that a queue remembers.
	KeepMoves = 10
)

// Pace returns how many messages a task should move next and how long it should
// wait before that. The task has moved that many since it started; rate is the
// most messages a second, and zero means no limit.
func Pace(rate int, moved int64, since time.Duration) (n int, wait time.Duration) {
	if rate <= 0 {
		return MoveStep, 0
	}
	// Ten steps a second, of at least one message.
	n = min(max(rate/10, 1), MoveStep)
	per := int64(rate)
	due := time.Duration(moved/per)*time.Second + time.Duration(moved%per)*time.Second/time.Duration(rate)
	return n, max(due-since, 0)
}

// NewHandle returns a new handle of a task.
func NewHandle() string { return string(AppendID(nil)) }

// AttemptWindow is how long a receive can be repeated.
const AttemptWindow = 5 * time.Minute
