package redisclient

import (
	"sync/atomic"
	"time"
)

// A silence is the latest call without an answer. A connection that was last used before it
// may be as dead as that call's. Times have a monotonic reading, so that steps of the wall
// clock make no connection older.
type silence struct {
	base  time.Time
	begun atomic.Int64 // nanoseconds since base; it only grows
}

// patience is how long a call without an answer must have waited to say something of other
// connections: a caller may have had no time left.
const patience = 100 * time.Millisecond

// note records a call without an answer.
func (s *silence) note(begun time.Time) {
	since := int64(begun.Sub(s.base))
	for {
		old := s.begun.Load()
		if since <= old || s.begun.CompareAndSwap(old, since) {
			return
		}
	}
}

// covers reports whether a connection was last used before the silence began.
func (s *silence) covers(used time.Time) bool { return int64(used.Sub(s.base)) < s.begun.Load() }
