package consumer

import (
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/batch"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/seldom"
)

// lane is one source and what the runtime keeps for it.
type lane struct {
	c         *Consumer
	source    drivers.Source
	inspector drivers.Inspector // nil where the source is none
	watcher   drivers.Watcher   // nil if the source is none
	caps      drivers.Capabilities
	origin    *handler.Origin
	weight    int

	// Settlements of one kind share a request, so each kind has its batches: a
	// mixed batch would cost a request a kind.
	acks, retries, letters *batch.Batcher[*flight]
	extensions             *batch.Batcher[*flight]

	outage   outage
	waiting  backlog
	noDLQ    seldom.Event
	suspects seldom.Event // messages that run alone
	refuse   seldom.Event // extensions refused
	noDelay  seldom.Event // retries that cannot be delayed
	uncount  seldom.Event // messages without their attempt
	empty    emptiness
	closedBy atomic.Pointer[handler.Gate] // the gate that admitted nothing last
	asking   atomic.Bool                  // it is asked for its reason

	// What follows is guarded by c.mu.
	pollers  int
	used     int                 // handler slots that this lane has
	busy     bool                // the latest receive brought all it asked for
	ask      int                 // for how many messages the next receive asks, of several lanes
	turns    int                 // how many messages of the latest receives had their turn
	took     time.Duration       // how long handlers take, smoothed
	usual    time.Duration       // the same, known from the first on
	most     int                 // for how many messages a receive may ask; 0 is no bound
	cautious time.Time           // until when that holds
	known    map[string]struct{} // suspicious messages that were retried here
	groups   map[string]*group
	blocked  map[string]blockade
}

// policy returns whether the queue has a dead-letter queue, and after how many
// attempts a message goes there, as far as the source knows at this moment.
func (l *lane) policy() (deadLetter bool, most int) {
	if l.watcher == nil {
		return l.caps.DeadLetter, l.caps.MaxAttempts
	}
	now := l.watcher.Current()
	return now.DeadLetterQueue != "", now.MaxAttempts
}

// careful reports whether what waits for its group must fit into a drain: to give it
// back would cost it an attempt.
func (l *lane) careful() bool {
	if !l.caps.Ordered || l.caps.FreeRelease {
		return false
	}
	_, most := l.policy()
	return most > 0
}

// fault returns why the queue can't be worked on though receives succeed.
func (l *lane) fault() error {
	if l.watcher == nil {
		return nil
	}
	return l.watcher.Current().Fault
}

// flushes is how many requests of one kind may be on their way, a lane.
const flushes = 32

func newLane(c *Consumer, s Weighted) *lane {
	l := &lane{c: c, source: s.Source, caps: s.Source.Capabilities(), weight: max(s.Weight, 1)}
	l.inspector, _ = s.Source.(drivers.Inspector)
	l.watcher, _ = s.Source.(drivers.Watcher)
	l.origin = &handler.Origin{
		Queue: l.caps.Queue, System: l.caps.System, MaxDelay: max(l.caps.MaxDelay, 0), Server: l.caps.Server,
	}
	// A driver that leaves a batch size out is a faulty one; it gets ones.
	settle := batch.Config[*flight]{Max: max(l.caps.MaxSettle, 1), Parallel: flushes, Flush: l.flushSettlements}
	l.acks, l.retries, l.letters = batch.New(settle), batch.New(settle), batch.New(settle)
	l.extensions = batch.New(batch.Config[*flight]{
		Max: max(l.caps.MaxExtend, 1), Parallel: flushes, Flush: l.flushExtensions,
	})
	if l.caps.Ordered {
		l.groups = make(map[string]*group)
		l.blocked = make(map[string]blockade)
	}
	return l
}

// batchers lists the lane's batchers.
func (l *lane) batchers() [4]*batch.Batcher[*flight] {
	return [4]*batch.Batcher[*flight]{l.acks, l.retries, l.letters, l.extensions}
}

// flushSettled sends the verdicts that wait for company.
func (l *lane) flushSettled() {
	l.acks.Flush()
	l.retries.Flush()
	l.letters.Flush()
}
