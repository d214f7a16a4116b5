package deadletter

import "github.com/sluice-go/sluice/drivers"

// fewAttempts is the most deliveries of a queue at which a message is likely at its last
// when someone wants to look at it.
const fewAttempts = 3

// LookAttempts returns how many deliveries a queue with these capabilities allows before it
// moves a message on to its dead-letter queue, if a look at the message is one of them. It
// returns 0 if a look is free or nothing is moved. If few is true, a look may well be the
// last delivery, and must be asked for. It is the same for a queue and for a dead-letter
// queue, which can have a dead-letter queue of its own.
func LookAttempts(c drivers.Capabilities) (attempts int, few bool) {
	if c.FreeRelease { // an embedded queue is only read
		return 0, false
	}
	return c.MaxAttempts, c.MaxAttempts > 0 && c.MaxAttempts <= fewAttempts
}
