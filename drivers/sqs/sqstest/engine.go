package sqstest

import "github.com/sluice-go/sluice/internal/queue"

func newEngine(c Clock) queue.Engine {
	if _, real := c.(realClock); real {
		return queue.NewMemory(nil)
	}
	return queue.NewMemory(&queue.Options{Clock: c})
}
