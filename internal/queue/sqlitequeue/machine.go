package sqlitequeue

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// A reading is the time of a machine's clocks at one moment.
type reading struct {
	now time.Time
	// boot identifies the boot of the machine, and uptime is the time on a clock
	// of it, in nanoseconds: the clock that the monotonic part of now goes by.
	// Nobody sets it, and all processes of the boot read the same, so that a lease
	// ends at the same moment for its holder and for all others, whether or not
	// the machine slept in between.
	boot   string
	uptime int64
}

// started relates time.Now's monotonic clock, which starts in each process, to
// the uptime, which all processes share.
var started = start()

type startup struct {
	now    time.Time
	uptime int64
	ok     bool // false if this system has no such clock, or none that we know
}

func start() (s startup) {
	best := time.Duration(1<<63 - 1)
	// Between the two readings others may have had the processor.
	for range 10 {
		before := time.Now()
		uptime, ok := uptime()
		if took := time.Since(before); took < best {
			s, best = startup{before.Add(took / 2), uptime, ok}, took
		}
		if best < 10*time.Microsecond {
			break
		}
	}
	return s
}

// boot identifies the boot. If the system has no name for it, boot is a name of
// this process alone: it then shares its clock with no one, and engines of
// several processes go by the wall clock when they take turns.
var boot = sync.OnceValue(func() string {
	if started.ok {
		if id := bootID(); id != "" {
			return id
		}
	}
	return "process " + rand.Text()
})

// machine reads the clocks. A clock that is given stands for all of them.
type machine struct{ clock queue.Clock }

func newMachine(o *Options) machine {
	if o == nil {
		return machine{}
	}
	return machine{o.Clock}
}

func (m machine) read() reading {
	if m.clock != nil {
		now := m.clock.Now()
		return reading{now: now, uptime: store.Nanos(now)}
	}
	now := time.Now()
	return reading{now, boot(), store.Later(started.uptime, now.Sub(started.now))}
}

func (m machine) after(d time.Duration) <-chan time.Time {
	if m.clock != nil {
		return m.clock.After(d)
	}
	return time.After(d)
}
