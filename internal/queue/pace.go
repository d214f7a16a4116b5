package queue

import "time"

const (
	// moveStep is how many messages a task moves at once: few enough that
	// others are not kept waiting.
	moveStep = 100
	// lookStep is how many it looks at for that, since not all can be moved.
	lookStep = 10 * moveStep
	// keepMoves is how many tasks of a queue are remembered.
	keepMoves = 10
)

// pace returns how many messages a task moves next that has moved that many in
// the time since it began, and how long it waits before it does.
func pace(rate int, moved int64, since time.Duration) (n int, wait time.Duration) {
	if rate <= 0 {
		return moveStep, 0
	}
	// Ten steps a second, of at least one message.
	n = min(max(rate/10, 1), moveStep)
	per := int64(rate)
	due := time.Duration(moved/per)*time.Second + time.Duration(moved%per)*time.Second/time.Duration(rate)
	return n, max(due-since, 0)
}

// newHandle makes a task's handle.
func newHandle() string { return string(appendID(nil)) }
