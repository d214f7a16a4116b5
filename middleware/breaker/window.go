package breaker

import "time"

// buckets is into how many parts the window is divided; the oldest part is
// forgotten at once.
const buckets = 10

// window counts outcomes of the recent past.
type window struct {
	start time.Time
	width time.Duration
	parts [buckets]part
}

type part struct {
	epoch         int64
	total, failed int
}

func newWindow(length time.Duration) window {
	return window{start: time.Now(), width: max(length/buckets, 1)}
}

func (w *window) add(now time.Time, failed bool) {
	epoch := int64(now.Sub(w.start) / w.width)
	p := &w.parts[epoch%buckets]
	if p.epoch != epoch {
		*p = part{epoch: epoch}
	}
	p.total++
	if failed {
		p.failed++
	}
}

func (w *window) sum(now time.Time) (total, failed int) {
	oldest := int64(now.Sub(w.start)/w.width) - buckets + 1
	for i := range w.parts {
		if p := &w.parts[i]; p.epoch >= oldest {
			total += p.total
			failed += p.failed
		}
	}
	return total, failed
}

func (w *window) clear() { w.parts = [buckets]part{} }
