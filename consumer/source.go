package consumer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/batch"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/seldom"
)

// A source is one of a consumer's sources, with the runtime's state for it.
type source struct {
	c         *Consumer
	driver    drivers.Source
	inspector drivers.Inspector // nil if the driver lacks it
	watcher   drivers.Watcher   // nil if the driver lacks it
	caps      drivers.Capabilities
	origin    *handler.Origin
	handler   handler.Handler
	gates     gates // its own; Consumer.gates are all sources'
	weight    int
	priority  int
	level     int // of priority, 0 for the highest

	settler   *settler
	extender  *extender
	outage    outage
	emptiness emptiness
	backlog   backlog

	// How often each of these was logged.
	noDLQ      seldom.Event
	alone      seldom.Event // messages that run alone
	noExtend   seldom.Event // extensions refused
	noDelay    seldom.Event // retries that can't be delayed
	noAttempts seldom.Event // messages without their attempt

	asking  atomic.Bool // a gate is being asked for its reason
	derives atomic.Bool // handlers make children of their contexts

	// The fields below are guarded by Consumer.mu.
	pollers     int
	used        int  // slots that this source has
	busy        bool // the latest receive brought all it asked for
	ask         int  // for how many messages the next receive asks, if there are several sources
	turns       int  // how many messages of the latest receives had their turn
	times       times
	caution     caution
	forecast    forecast
	groups      groups
	retriedHere map[string]struct{} // suspicious messages that were retried here
}

func newSource(c *Consumer, w Weighted) *source {
	s := &source{c: c, driver: w.Source, caps: w.Source.Capabilities(), handler: w.Handler, weight: max(w.Weight, 1), priority: w.Priority}
	if s.handler == nil {
		s.handler = c.handler
	}
	s.gates.c, s.gates.list, s.gates.turn = c, w.Gates, make(chan struct{}, 1)
	if s.caps.MaxLease == 0 {
		s.caps.MaxLease = max(s.caps.MaxExtension, s.caps.Lease)
	}
	s.caps.MaxDelay = max(s.caps.MaxDelay, 0)
	s.inspector, _ = w.Source.(drivers.Inspector)
	s.watcher, _ = w.Source.(drivers.Watcher)
	s.origin = &handler.Origin{Queue: s.caps.Queue, System: s.caps.System, Server: s.caps.Server}
	if s.caps.MaxDelay != drivers.Unlimited {
		s.origin.MaxDelay = s.caps.MaxDelay
	}
	s.settler, s.extender = newSettler(s), newExtender(s)
	s.outage.source, s.emptiness.source, s.backlog.source, s.caution.source, s.forecast.source = s, s, s, s, s
	s.groups = newGroups(s, s.caps.Ordered)
	s.derives.Store(childKey == nil)
	return s
}

// closedBy returns the gate that holds back receiving, nil if none does.
func (s *source) closedBy() *handler.Gate {
	if g := s.gates.closedBy.Load(); g != nil {
		return g
	}
	return s.c.gates.closedBy.Load()
}

// policy returns whether the queue has a dead-letter queue, and after how many attempts
// a message goes there, as far as the driver knows at this moment.
func (s *source) policy() (deadLetter bool, most int) {
	if s.watcher == nil {
		return s.caps.DeadLetter, s.caps.MaxAttempts
	}
	now := s.watcher.Current()
	return now.DeadLetterQueue != "", now.MaxAttempts
}

// fault returns why the queue can't be worked on though receives succeed.
func (s *source) fault() error {
	if s.watcher == nil {
		return nil
	}
	return s.watcher.Current().Fault
}

// suspicious reports whether a message with so many attempts may have killed a process.
func (s *source) suspicious(attempt int) bool {
	if attempt <= 1 {
		return false
	}
	deadLetter, most := s.policy()
	return deadLetter && most > 1 && attempt > most/2
}

// releasesFree reports whether a message that is given back unhandled loses none of its
// attempts, or has any number of them.
func (s *source) releasesFree() bool {
	if s.caps.FreeRelease {
		return true
	}
	_, most := s.policy()
	return most <= 0
}

// releasesCost reports whether messages that wait for their group must be handled
// within a drain: to give them back would cost each an attempt.
func (s *source) releasesCost() bool {
	return s.caps.Ordered && !s.releasesFree()
}

// drainable returns for how many messages a receive may ask, so that those of them that
// wait for their group can be handled within a drain. On an ordered queue that counts
// receives as attempts, a drain that gives them back would cost each of them one: a few
// restarts, and messages that no handler has seen are dead-lettered. Consumer.mu is held.
func (s *source) drainable() int {
	if !s.releasesCost() {
		return maxInARow
	}
	return max(s.turns, 1) - 1 + s.times.inARow(s.c.cfg.DrainTimeout)
}

// noteReceived takes in that a receive for asked messages brought n, of which turns had
// their turn. Consumer.mu is held.
func (s *source) noteReceived(n, asked, turns int) {
	if n == 0 {
		return
	}
	s.turns = max(turns, s.turns/2)
	if turns == n && (!s.releasesCost() || s.times.usual > 0 && n >= asked) {
		s.turns = max(s.turns, 2*n) // the next one may be of as many groups
	}
}

// asleep returns for how long the source's leases ran down in suspends.
func (s *source) asleep() time.Duration {
	if s.caps.LocalClock {
		return 0
	}
	return s.c.sleepClock.asleep()
}

// inspection returns the context of a request for the queue's depth.
func (s *source) inspection() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.c.polls, depthTimeout)
}

// endedErrors answers n requests that come after Run has returned, of handlers that it
// did not wait for.
func (s *source) endedErrors(n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = &drivers.Error{Code: drivers.Closed, Queue: s.caps.Queue, Op: "answer", Err: errEnded}
	}
	return errs
}

// stopBatches ends the batches, after waiting until ctx is done for requests that are
// on their way.
func (s *source) stopBatches(ctx context.Context) {
	for _, b := range [...]*batch.Batcher[*delivery]{s.settler.acks, s.settler.retries, s.settler.letters, s.extender.batches} {
		_ = b.Wait(ctx) // the requests' context has ended: they are over, or hang
		b.Stop()
	}
}

// close closes the driver's source.
func (s *source) close() error {
	if err := s.driver.Close(); err != nil {
		return fmt.Errorf("close the source: %w", err)
	}
	return nil
}
