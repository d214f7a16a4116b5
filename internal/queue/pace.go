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

// pace says how many messages a task that began at begin and has moved that
// many is to move next, at a rate, and how long it waits before it does.
func pace(rate int, moved int64, begin, now int64) (n int, wait time.Duration) {
	if rate <= 0 {
		return moveStep, 0
	}
	// Ten steps a second, of at least one message.
	n = min(max(rate/10, 1), moveStep)
	due := begin + moved*int64(time.Second)/int64(rate)
	return n, time.Duration(max(due-now, 0))
}

// newHandle makes a task's handle.
func newHandle() string { return string(appendID(nil)) }
