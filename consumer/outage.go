package consumer

import (
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The wait between receives that fail.
const (
	outageBase = 200 * time.Millisecond
	outageCap  = 30 * time.Second
)

// settlePatience is for how long settlements may be refused of which none has
// ever succeeded: the permission is missing, and each message is handled again
// and again meanwhile.
const settlePatience = 10 * time.Second

// outage is what the provider answers to a lane: whether its requests fail, and
// whether that must end the consumer.
type outage struct {
	mu       sync.Mutex
	receives trouble
	settles  trouble
	trial    time.Time // the latest receive that was let through while settlements fail
	trials   int       // how many there were
}

// trouble is requests of one kind that fail.
type trouble struct {
	proven  time.Time // the latest success
	tries   int       // failures in a row
	since   time.Time // the first of them
	last    time.Time // the latest of them
	refused time.Time // the first of them that no other attempt mends
	err     error     // the latest one's
}

// failed notes a failure. It reports whether it is the first one in a row.
func (t *trouble) failed(err error, now time.Time) (first bool) {
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

// succeeded notes a success. It returns what has ended with it.
func (t *trouble) succeeded(now time.Time) (ended trouble) {
	ended = *t
	*t = trouble{proven: now}
	return ended
}

// hopeless reports whether the latest failure ends the consumer, by the rule in
// the package comment. o.mu is held.
func (o *outage) hopeless(t *trouble, giveUp time.Duration) bool {
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

// positive is d, and endless if d is negative.
func positive(d time.Duration) time.Duration {
	if d < 0 {
		return endless
	}
	return d
}

// failed takes the error of a receive that took so long. It reports whether the
// consumer must end.
func (l *lane) failed(err error, took time.Duration) (fatal bool) {
	c, o, now := l.c, &l.outage, time.Now()
	c.observe(handler.Event{Kind: handler.EventReceiveFailed, Origin: l.origin, Err: err, Duration: took})
	o.mu.Lock()
	first := o.receives.failed(err, now)
	fatal = o.hopeless(&o.receives, c.cfg.GiveUpAfter)
	since := o.receives.since
	o.mu.Unlock()
	switch {
	case fatal:
		c.log.Error("receiving is refused: the consumer ends", "queue", l.caps.Queue, "error", err, "for", now.Sub(since))
		c.fail(err)
	case first:
		c.log.Error("receiving fails: it is tried again until it succeeds", "queue", l.caps.Queue, "error", err)
	}
	return fatal
}

// recovered notes that a receive succeeded.
func (l *lane) recovered() {
	now := time.Now()
	l.outage.mu.Lock()
	ended := l.outage.receives.succeeded(now)
	l.outage.mu.Unlock()
	if ended.tries == 0 {
		return
	}
	l.c.log.Info("receiving works again", "queue", l.caps.Queue, "after", now.Sub(ended.since), "failures", ended.tries, "error", ended.err)
}

// refusal reports whether code is that of a queue that is gone or forbidden.
func refusal(code drivers.Code) bool { return code == drivers.Denied || code == drivers.NotFound }

// noteSettled takes the answers to a request of settlements, all of one action.
// It reports whether the request was refused as a whole.
func (l *lane) noteSettled(action handler.Action, errs []error, n int, now time.Time) (all bool) {
	c, o := l.c, &l.outage
	failed, refused, other := 0, 0, 0
	var err error
	for i := range n {
		one := itemError(errs, i, n)
		switch code := drivers.CodeOf(one); {
		case one == nil || invoke.Is(one, drivers.ErrLeaseLost):
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
		ended := o.settles.succeeded(now)
		o.mu.Unlock()
		if ended.tries > 0 {
			c.log.Info("verdicts are taken again", "queue", l.caps.Queue, "after", now.Sub(ended.since))
		}
		return false
	}
	if action == handler.ActionDeadLetter || refused+other < n || c.ops.Err() != nil {
		return false // the dead-letter queue's fault, the messages' or ours
	}
	o.mu.Lock()
	first := o.settles.failed(err, now)
	fatal := o.hopeless(&o.settles, c.cfg.GiveUpAfter)
	since := o.settles.since
	o.mu.Unlock()
	switch {
	case fatal:
		c.log.Error("verdicts are refused: the consumer ends", "queue", l.caps.Queue, "error", err, "for", now.Sub(since))
		c.fail(err)
	case first:
		c.log.Warn("verdicts are not taken: they are tried again while leases last", "queue", l.caps.Queue, "error", err)
	}
	return refused == n
}

// delay is the wait before the next receive.
func (o *outage) delay() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return backoffDelay(o.receives.tries, outageBase, outageCap)
}

// is reports whether receives fail.
func (o *outage) is() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.receives.err != nil
}

// settleMemory is how long a failed settlement counts as an outage if none was
// tried after it.
const settleMemory = 30 * time.Second

// state is the error with which requests fail, and since when; nil is none.
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

// For how long settlements fail before receiving is held back, and how far apart
// the receives are that are let through meanwhile.
const (
	settleHold = 2 * time.Second
	trialCap   = 10 * time.Second
)

// hold returns how long the lane must not receive, because verdicts are not taken:
// what is received is handled, comes again when its lease ends, and spends its
// attempts. Now and then it lets one receive through, a trial, which should bring
// one message: without a message there is no verdict to try.
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

// received is when a receive succeeded last.
func (o *outage) received() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.receives.proven
}
