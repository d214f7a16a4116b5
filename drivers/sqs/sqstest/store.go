package sqstest

import "github.com/sluice-go/sluice/internal/queue"

// A Store keeps queues, their attributes and their messages for one or several
// servers at a time; see [Config]. [NewStore] returns one. The interface is
// implemented by this module only.
type Store interface{ queue.Engine }

// NewStore returns an empty store in memory, for servers whose Config has the
// same clock. A nil clock means the real time. Close it when no server uses it
// any more.
func NewStore(c Clock) Store {
	if _, real := c.(realClock); real || c == nil {
		return queue.NewMemory(nil)
	}
	return queue.NewMemory(c)
}
