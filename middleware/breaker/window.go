package breaker

import "time"

// buckets is into how many parts the window is divided; the oldest part is
// forgotten immediately.
const buckets = 10

// window counts outcomes of the recent past.
type window struct {
	start time.Time
	width time.Duration
	parts [buckets]part
}

type part struct {
	epoch                 int64
	total, doubts, failed int
}

func newWindow(length time.Duration) window {
	return window{start: time.Now(), width: max(length/buckets, 1)}
}

func (w *window) add(now time.Time, o outcome) {
	epoch := int64(now.Sub(w.start) / w.width)
	p := &w.parts[epoch%buckets]
	if p.epoch != epoch {
		*p = part{epoch: epoch}
	}
	p.total++
	switch o {
	case doubtful:
		p.doubts++
	case failure:
		p.failed++
	case neutral, success:
	}
}

func (w *window) sum(now time.Time) (total, doubts, failed int) {
	oldest := int64(now.Sub(w.start)/w.width) - buckets + 1
	for i := range w.parts {
		if p := &w.parts[i]; p.epoch >= oldest {
			total += p.total
			doubts += p.doubts
			failed += p.failed
		}
	}
	return total, doubts, failed
}

func (w *window) clear() { w.parts = [buckets]part{} }
