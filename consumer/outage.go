package consumer

import (
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// outageBase and outageCap bound the wait between receives that fail.
	outageBase = 200 * time.Millisecond
	outageCap  = 30 * time.Second
	// settlePatience is for how long settlements may be refused if none has ever
	// succeeded: the permission is missing, and each message is handled again and again
	// meanwhile.
	settlePatience = 10 * time.Second
	// settleMemory is for how long a failed settlement counts as an outage if none was
	// tried after it.
	settleMemory = 30 * time.Second
	// settleHold is for how long settlements fail before receiving is held back, and
	// trialCap the longest time between the receives that are made meanwhile.
	settleHold = 2 * time.Second
	trialCap   = 10 * time.Second
)

// An outage records whether a source's requests fail, and decides whether that must
// end the consumer. Its methods may be called concurrently; no lock may be held.
type outage struct {
	source *source

	mu       sync.Mutex
	receives trouble
	settles  trouble
	trial    time.Time // the latest receive that was made while settlements fail
	trials   int       // how many there were
}

// trouble is the failures in a row of one kind of requests. The zero trouble has none.
// It is guarded by outage.mu.
type trouble struct {
	proven  time.Time // the latest success
	tries   int       // failures in a row
	since   time.Time // the first of them
	last    time.Time // the latest of them
	refused time.Time // the first of them that no other attempt mends
	err     error     // the latest one's
}

// addFailure notes a failure. It reports whether it is the first one in a row.
func (t *trouble) addFailure(err error, now time.Time) (first bool) {
	if t.tries == 0 {
		t.since = now
	}
	if t.refused.IsZero() && !drivers.CodeOf(err).Retryable() {
		t.refused = now
	}
	t.tries++
	t.err, t.last = err, now
	return t.tries == 1
}

// addSuccess notes a success. It returns the trouble that has ended with it.
func (t *trouble) addSuccess(now time.Time) (ended trouble) {
	ended = *t
	*t = trouble{proven: now}
	return ended
}

// hopeless reports whether the latest failure ends the consumer, by the rule in the
// package comment. o.mu is held.
func (o *outage) hopeless(t *trouble) bool {
	giveUp := o.source.c.cfg.GiveUpAfter
	switch code := drivers.CodeOf(t.err); {
	case code == drivers.Closed:
		return true
	case code.Retryable():
		return false
	case t == &o.settles && t.proven.IsZero():
		return t.last.Sub(t.refused) >= min(settlePatience, positive(giveUp))
	case t.proven.IsZero():
		return true
	}
	since := t.refused
	if t == &o.receives && o.settles.proven.After(since) {
		since = o.settles.proven
	}
	return t.last.Sub(since) >= positive(giveUp)
}

// positive returns d, or endless if d is negative.
func positive(d time.Duration) time.Duration {
	if d < 0 {
		return endless
	}
	return d
}

// receiveFailed takes the error of a receive that took so long. It reports whether
// the consumer must end.
func (o *outage) receiveFailed(err error, took time.Duration) (fatal bool) {
	s, c, now := o.source, o.source.c, time.Now()
	c.report.observe(handler.Event{Kind: handler.EventReceiveFailed, Origin: s.origin, Err: err, Duration: took})
	o.mu.Lock()
	first := o.receives.addFailure(err, now)
	fatal = o.hopeless(&o.receives)
	since := o.receives.since
	o.mu.Unlock()
	switch {
	case fatal:
		c.log.Error("receiving is refused: the consumer ends", "queue", s.caps.Queue, "error", err, "for", now.Sub(since))
		c.abortRun(err)
	case first:
		c.log.Error("receiving failed: retrying until it succeeds", "queue", s.caps.Queue, "error", err)
	}
	return fatal
}

// receiveSucceeded notes a success.
func (o *outage) receiveSucceeded() {
	now := time.Now()
	o.mu.Lock()
	ended := o.receives.addSuccess(now)
	o.mu.Unlock()
	if ended.tries == 0 {
		return
	}
	o.source.c.log.Info("receiving works again", "queue", o.source.caps.Queue,
		"after", now.Sub(ended.since), "failures", ended.tries, "error", ended.err)
}

// settled takes the answers to a request of n settlements, all of one action. It
// reports whether the request was refused as a whole.
func (o *outage) settled(action handler.Action, errs []error, n int, now time.Time) (refusedAll bool) {
	s, c := o.source, o.source.c
	failed, refused, other := 0, 0, 0
	var err error
	for i := range n {
		one := itemError(errs, i, n)
		if one == nil {
			continue
		}
		switch code := drivers.CodeOf(one); {
		case invoke.Is(one, drivers.ErrLeaseLost):
			continue
		case refusal(code):
			refused++
		case code.Retryable() || code == drivers.Closed:
			other++
		}
		failed++
		err = one
	}
	if failed < n {
		o.mu.Lock()
		ended := o.settles.addSuccess(now)
		o.mu.Unlock()
		if ended.tries > 0 {
			c.log.Info("settling works again", "queue", s.caps.Queue, "after", now.Sub(ended.since))
		}
		return false
	}
	if action == handler.ActionDeadLetter || refused+other < n || c.ops.Err() != nil {
		return false // the dead-letter queue's fault, the messages' or ours
	}
	o.mu.Lock()
	first := o.settles.addFailure(err, now)
	fatal := o.hopeless(&o.settles)
	since := o.settles.since
	o.mu.Unlock()
	switch {
	case fatal:
		c.log.Error("settling is refused: the consumer ends", "queue", s.caps.Queue, "error", err, "for", now.Sub(since))
		c.abortRun(err)
	case first:
		c.log.Warn("settling failed: retrying while the leases last", "queue", s.caps.Queue, "error", err)
	}
	return refused == n
}

// delay returns the wait before the next receive.
func (o *outage) delay() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return backoffDelay(o.receives.tries, outageBase, outageCap)
}

// receivesFail reports whether the latest receive failed.
func (o *outage) receivesFail() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.receives.err != nil
}

// state returns the error with which requests fail, nil if they do not, and since
// when they fail.
func (o *outage) state(now time.Time) (since time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t := &o.receives; t.err != nil {
		return t.since, t.err
	}
	if t := &o.settles; t.err != nil && now.Sub(t.last) < settleMemory {
		return t.since, t.err
	}
	return time.Time{}, nil
}

// hold returns how long receiving from the source must pause because settling fails:
// messages would be handled, redelivered when their lease ends, and spend their
// attempts. Now and then it allows one receive, a trial, which should bring one
// message: without a message there is no verdict to try.
func (o *outage) hold(now time.Time) (wait time.Duration, trial bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := &o.settles
	if t.last.Sub(t.since) < settleHold {
		return 0, false // a success clears both
	}
	if o.trial.Before(t.since) {
		o.trial, o.trials = t.since, 0
	}
	next := o.trial.Add(min(settleHold<<min(o.trials, 10), trialCap))
	if now.Before(next) {
		return min(next.Sub(now), time.Second), false
	}
	o.trial = now
	o.trials++
	return 0, true
}

// lastReceive returns when a receive succeeded last.
func (o *outage) lastReceive() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.receives.proven
}
