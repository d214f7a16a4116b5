package consumer

import (
	"math/bits"
	"slices"
	"time"
)

// A slot is the permission to hold a message that may run: each ready or
// running delivery has one, and so has each message that a pending receive may
// return. They are guarded by Consumer.mu.
//
// Invariant: free + the sum of source.used = Config.Concurrency. free is negative
// while receives request messages in advance, and while messages that had waited
// without a slot use more slots than there are. A source asks ahead for at most
// forecast.ahead slots beyond its share, which are taken from nobody: they don't
// count in what others may have. Handlers never exceed Concurrency, since each has
// a worker.
//
// grant costs one pass over the waiting pollers, and for each one over the sources,
// twice.
type slots struct {
	c       *Consumer
	free    int
	waiters []*waiter // in the order of their arrival
}

// A waiter is a poller that wants slots to receive for.
type waiter struct {
	source *source
	// want is the most it can use, enough the least that it accepts.
	want, enough int
	ask          int // how many messages to ask for, if that is more than its slots
	got          int // set by grant
	ch           chan struct{}

	// patience is how long it waits for enough once there are some slots; partial is set,
	// and timer runs, from then on.
	patience time.Duration
	partial  bool
	timer    *time.Timer
}

func newWaiter(s *source) *waiter {
	w := &waiter{source: s, ch: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	return w
}

func (w *waiter) signal() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}

// fewMessages is how many messages a source may ask for without slots.
const fewMessages = 2

// acquire waits for slots: for a whole batch's worth while the source is busy, but
// not for long once there are some. It returns how many messages to ask for, 0 if
// the consumer stops, and how many slots it took for them.
//
// Of several sources, one with few messages takes no slots, since its long poll
// would keep them from the others. Its messages are held until a slot is free. A
// source that another one precedes waits for slots all the same. Consumer.mu is not
// held.
func (p *slots) acquire(w *waiter) (n, taken int) {
	c := p.c
	c.mu.Lock()
	if c.drain.stopping {
		c.mu.Unlock()
		return 0, 0
	}
	if s := w.source; len(c.sources) > 1 && !s.busy && s.ask <= fewMessages && c.hand.room() > 0 && !p.preceded(s) {
		n = s.caution.cap(max(s.ask, 1))
		c.mu.Unlock()
		return n, 0
	}
	w.want, w.enough, w.ask = p.target(w.source)
	w.got, w.partial = 0, false
	select { // a signal left over from the last time
	case <-w.ch:
	default:
	}
	w.patience = w.source.times.patience()
	p.waiters = append(p.waiters, w)
	p.grant()
	defer w.timer.Stop()
	halved := false
	for w.got == 0 {
		rang := false
		c.mu.Unlock()
		select {
		case <-w.ch:
		case <-c.drain.stop:
		case <-w.timer.C:
			rang = true
		}
		c.mu.Lock()
		if c.drain.stopping {
			p.removeWaiter(w)
			p.release(w.source, w.got)
			c.mu.Unlock()
			return 0, 0
		}
		if w.got == 0 && rang {
			// It accepts half a batch first; a request for a few messages costs as
			// much as one for many.
			if w.enough > 2 && !halved {
				halved = true
				w.enough /= 2
				w.timer.Reset(3 * w.patience)
			} else {
				w.enough = 1
			}
			p.grant()
		}
	}
	c.mu.Unlock()
	return max(w.got, w.ask), w.got
}

// grant hands free slots to those who wait, first to the source that has the fewest
// for its weight. Consumer.mu is held.
func (p *slots) grant() {
	for len(p.waiters) > 0 && !p.c.drain.stopping {
		var w *waiter
		room := 0
		for _, other := range p.waiters {
			r := p.available(other.source)
			if r < 1 || w != nil && other.source.used*w.source.weight >= w.source.used*other.source.weight {
				continue
			}
			w, room = other, min(r, other.want)
		}
		if w == nil {
			return
		}
		if room < w.enough {
			if !w.partial {
				w.partial = true
				w.timer.Reset(w.patience)
			}
			return
		}
		w.got = room
		p.take(w.source, room)
		p.removeWaiter(w)
		w.signal()
	}
}

// take takes slots for a source, more than are free if need be. Consumer.mu is held.
func (p *slots) take(s *source, n int) {
	s.used += n
	p.free -= n
}

// release undoes take. The caller calls grant. Consumer.mu is held.
func (p *slots) release(s *source, n int) {
	s.used -= n
	p.free += n
}

// releaseUnused releases slots of a receive that is not made, and grants them to
// others. Consumer.mu is not held.
func (p *slots) releaseUnused(s *source, n int) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.release(s, n)
	p.grant()
}

// releaseHeld releases the slots of a receive that a gate holds back. If there are other
// sources, the share of this one is theirs until it has messages again. Consumer.mu is not
// held.
func (p *slots) releaseHeld(s *source, n int) {
	if len(p.c.sources) > 1 {
		p.releaseFailed(s, n)
		return
	}
	p.releaseUnused(s, n)
}

// releaseFailed releases the slots of a receive that failed. The source's share is
// the others' until it has messages again. Consumer.mu is not held.
func (p *slots) releaseFailed(s *source, n int) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.release(s, n)
	s.busy, s.ask = false, 0
	p.grant()
}

// removeWaiter takes w out of those who wait. Consumer.mu is held.
func (p *slots) removeWaiter(w *waiter) {
	if i := slices.Index(p.waiters, w); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
	}
}

// available returns how many messages may be received for s now: at most its free
// slots plus the messages that may be requested in advance, and none while too many
// messages are held. Consumer.mu is held.
func (p *slots) available(s *source) int {
	share, ahead := p.share(s), p.ahead(s)
	asked := min(max(s.used-share, 0), ahead)
	free := p.free + asked
	for _, other := range p.c.sources {
		if other != s {
			free += p.askedAhead(other)
		}
	}
	plain := max(min(free, share-s.used), 0)
	return min(plain+ahead-asked, p.c.hand.room())
}

// ahead returns how many slots s may have beyond its share, until handlers that are
// about to end release theirs. Consumer.mu is held.
func (p *slots) ahead(s *source) int {
	n := s.forecast.ahead()
	if len(p.c.sources) > 1 && n > 0 {
		n = int(int64(n) * int64(p.share(s)) / int64(p.c.cfg.Concurrency))
	}
	return n
}

// askedAhead returns how many of these slots s has. Consumer.mu is held.
func (p *slots) askedAhead(s *source) int {
	beyond := s.used - p.share(s)
	if beyond <= 0 {
		return 0
	}
	return min(beyond, p.ahead(s))
}

// preceded reports whether a source of a higher priority has messages waiting.
// Consumer.mu is held.
func (p *slots) preceded(s *source) bool {
	for _, other := range p.c.sources {
		if other.busy && other.priority > s.priority {
			return true
		}
	}
	return false
}

// share returns how many slots a source may have: all, except for those of the
// other sources of its priority that have messages waiting, and none while a source of a
// higher priority has. Consumer.mu is held.
func (p *slots) share(s *source) int {
	if len(p.c.sources) == 1 {
		return p.c.cfg.Concurrency // each handled message asks for it
	}
	if p.preceded(s) {
		return 0
	}
	weights := uint64(s.weight)
	for _, other := range p.c.sources {
		if other != s && other.busy && other.priority == s.priority {
			weights += uint64(other.weight)
		}
	}
	hi, lo := bits.Mul64(uint64(p.c.cfg.Concurrency), uint64(s.weight))
	part, _ := bits.Div64(hi, lo, weights) // at most Concurrency, since weights includes s's
	return max(int(part), 1)
}

// target returns how many slots a poller of s wants, how many it accepts, and for
// how many messages it asks if that is more. Consumer.mu is held.
func (p *slots) target(s *source) (want, enough, ask int) {
	share := p.share(s) + p.ahead(s)
	want = s.caution.cap(max(min(s.caps.MaxReceive, share, s.drainable()), 1))
	if len(p.c.sources) > 1 {
		// Slots that it asks for in vain are missing elsewhere: it begins slowly.
		want = max(min(want, s.ask), 1)
	}
	if s.groups.ordered() && s.turns < want {
		// Most messages of such a receive wait for their group, not for a slot.
		want, ask = max(s.turns, 1), want
	}
	if !s.busy {
		return want, 1, ask
	}
	// Two batches take turns. The slots of an idle source's long poll can't be
	// shared: if they were counted, one of the two would wait for a slot in vain.
	usable := share
	for _, other := range p.c.sources {
		if other != s && !other.busy {
			usable -= other.used
		}
	}
	return want, max(min(want, usable/2), 1), ask
}

// mostPollers returns how many pollers a source can use: no more than can each have
// a full batch's slots, or they would split batches between them. Consumer.mu is
// held.
func (p *slots) mostPollers(s *source) int {
	share := p.share(s) + p.ahead(s)
	full := max(min(s.caps.MaxReceive, share/2), 1)
	return min(p.c.cfg.MaxPollers, max(share/full, 1))
}

// spareBatch reports whether another poller of s would find slots for a batch.
// Consumer.mu is held.
func (p *slots) spareBatch(s *source) bool {
	_, enough, _ := p.target(s)
	return p.available(s) >= enough && len(p.waiters) == 0
}

// maxWeight bounds the sum of the sources' weights, which grant multiplies.
const maxWeight = 1 << 31

// scaleWeights divides the sources' weights by one number if their sum exceeds
// maxWeight, but none to 0.
func scaleWeights(sources []*source) {
	sum := 0.0
	for _, s := range sources {
		sum += float64(s.weight)
	}
	if sum <= maxWeight {
		return
	}
	for _, s := range sources {
		s.weight = max(int(float64(s.weight)/sum*maxWeight), 1)
	}
}
