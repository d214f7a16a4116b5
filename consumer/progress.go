package consumer

import (
	"sync/atomic"
	"time"
)

// progress is when a consumer made progress last: a handler started or returned, or
// there was nothing to do. Its methods may be called concurrently.
type progress struct {
	born time.Time
	last atomic.Int64 // since born; 0 is never
}

// note notes progress.
func (p *progress) note(now time.Time) { p.last.Store(max(int64(now.Sub(p.born)), 1)) }

// idle returns how long ago the latest progress was. ok is false if there was none.
func (p *progress) idle(now time.Time) (d time.Duration, ok bool) {
	last := p.last.Load()
	if last == 0 {
		return 0, false
	}
	return now.Sub(p.born.Add(time.Duration(last))), true
}
