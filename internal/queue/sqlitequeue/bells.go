package sqlitequeue

import (
	"math"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// bells are the bells of a file's queues. A send wakes receives of its own
// process immediately, and those of other processes within watchSlowest.
type bells struct {
	// watch is called regularly while a receive waits. It reports whether
	// another process may have changed something.
	watch func() bool
	done  <-chan struct{} // closed with the engine
	eyes  sync.WaitGroup

	mu       sync.Mutex
	byName   map[string]*store.Bell
	waiting  int
	watching bool
}

// How often other processes are watched for: often after something has
// happened, then less and less.
const (
	watchFastest = time.Millisecond
	watchSlowest = 25 * time.Millisecond
)

func (b *bells) join(name string) *store.Waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byName == nil {
		b.byName = map[string]*store.Bell{}
	}
	if b.byName[name] == nil {
		b.byName[name] = &store.Bell{Alarm: math.MaxInt64}
	}
	b.waiting++
	if !b.watching {
		b.watching = true
		b.eyes.Go(b.look)
	}
	return b.byName[name].Join()
}

func (b *bells) leave(name string, w *store.Waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.byName[name]
	q.Leave(w)
	if q.Idle() {
		delete(b.byName, name)
	}
	b.waiting--
}

// set sets the alarm.
func (b *bells) set(name string, alarm int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byName[name].Alarm = alarm
}

func (b *bells) ring(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.byName[name]; q != nil {
		q.Ring()
	}
}

// due rings if nobody would look by then.
func (b *bells) due(name string, at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.byName[name]; q != nil && at < q.Alarm {
		q.Ring()
	}
}

// look watches for other processes as long as somebody waits.
func (b *bells) look() {
	pause := watchFastest
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-b.done:
			return
		}
		b.mu.Lock()
		if b.waiting == 0 {
			b.watching = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		pause = min(2*pause, watchSlowest)
		if b.watch() {
			pause = watchFastest
			b.mu.Lock()
			for _, q := range b.byName {
				q.Ring()
			}
			b.mu.Unlock()
		}
		timer.Reset(pause)
	}
}
