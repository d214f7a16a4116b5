package ratelimit

import (
	"context"
	"time"
)

// A Store keeps windows. Package storetest has the tests that every store must
// pass. Its methods are called concurrently.
type Store interface {
	// Take takes a place in the window of r.Key: the earliest at which the window
	// would not hold more than r.Max starts. It takes none where that is further
	// away than r.Wait. It may block until ctx is done.
	//
	// Windows are independent of each other. A window that no one has asked for
	// during r.Per and r.Wait may be forgotten.
	Take(ctx context.Context, r Request) (Answer, error)
}

// A Request asks for a place in a window.
type Request struct {
	// Key names the window.
	Key string
	// Max is the most starts in any stretch of Per. Both are above zero and the
	// same in every request for the window.
	Max int
	Per time.Duration
	// Wait is how far away the place may be, zero for none but the present.
	Wait time.Duration
	// Batch is the number of free places that Answer.Next asks for, from 1 to
	// Max.
	Batch int
}

// An Answer is what became of a [Request].
type Answer struct {
	// Taken reports whether a place was taken.
	Taken bool
	// After is in how long the place that was taken comes. If no place was taken,
	// it is the time until the first place that nobody else waits for, so that
	// refused messages return one by one, at the rate of the limit.
	After time.Duration
	// Free is how many more places there are at present.
	Free int
	// Next is in how long Request.Batch places are free if no one takes any; it
	// is read only where Free is zero.
	Next time.Duration
}
