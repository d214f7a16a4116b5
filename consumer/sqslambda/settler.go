package sqslambda

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/sleep"
)

const (
	// settleTries is the number of tries of a settlement, if time allows.
	settleTries = 4
	// settleBackoff is the pause before the second try; it doubles with each try.
	settleBackoff = 50 * time.Millisecond
)

// errNoReceipt is the error of a settlement without a receipt. SQS would refuse the
// whole request.
var errNoReceipt = errors.New("the event has no receiptHandle for the message")

// A settler carries out the settlements that Lambda does not, delays and rejections,
// in as few requests as possible.
type settler struct {
	*invocation
	slots chan struct{} // bounds the requests that are on their way

	mu   sync.Mutex
	open []*item // less than a request's worth
	work sync.WaitGroup
}

// add carries out a settlement without waiting for the answer.
func (s *settler) add(it *item, now time.Time, what drivers.Settlement) {
	if !s.fill(it, now, what) {
		return
	}
	s.mu.Lock()
	s.open = append(s.open, it)
	var full []*item
	if len(s.open) >= s.f.caps.MaxSettle {
		full, s.open = s.open, nil
	}
	s.mu.Unlock()
	if full != nil {
		s.work.Go(func() { s.settle(full) })
	}
}

// now carries out a settlement and waits for the answer.
func (s *settler) now(it *item, now time.Time, what drivers.Settlement) {
	if s.fill(it, now, what) {
		s.settle([]*item{it})
	}
}

// finish carries out the remaining settlements and waits for all answers. It must not
// be called concurrently with add.
func (s *settler) finish() {
	s.mu.Lock()
	rest := s.open
	s.open = nil
	s.mu.Unlock()
	if len(rest) > 0 {
		s.settle(rest)
	}
	s.work.Wait()
}

func (s *settler) fill(it *item, now time.Time, what drivers.Settlement) bool {
	it.settlement, it.decided = what, now
	it.settlement.Receipt, it.settlement.Message = it.delivery.Receipt, it.delivery.Message
	if it.delivery.Receipt == "" {
		s.unsettled(it, errNoReceipt)
		return false
	}
	return true
}

// settle carries out one request's worth of settlements.
func (s *settler) settle(todo []*item) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	for try := 1; len(todo) > 0; try++ {
		if try > 1 && !s.pause(settleBackoff<<(try-2)) {
			try = settleTries // there is no time for another
		}
		ss := make([]drivers.Settlement, len(todo))
		for n, it := range todo {
			ss[n] = it.settlement
			// The delay counts from the verdict, not from the request.
			ss[n].Delay = max(it.settlement.Delay-time.Since(it.decided), 0)
		}
		ctx, cancel := s.bounded(todo, try)
		errs := s.f.source.Settle(ctx, ss)
		cancel()
		again := todo[:0]
		for n, it := range todo {
			var err error
			if n < len(errs) {
				err = errs[n]
			}
			switch {
			case err == nil:
				s.settled(it)
			case try < settleTries && s.ops.Err() == nil && drivers.CodeOf(err).Retryable() && s.repeatable(it, err):
				again = append(again, it)
			default:
				s.unsettled(it, err)
			}
		}
		todo = again
	}
}

// repeatable reports whether a settlement that failed may be tried again. A retry may
// have been carried out: after its delay another worker may have the message, and the
// old receipt would change that worker's lease.
func (s *settler) repeatable(it *item, err error) bool {
	return !s.acts(it) || drivers.CodeOf(err) == drivers.Throttled || time.Until(it.comesBack()) > time.Second
}

// acts reports whether a settlement can change the lease of a later delivery.
func (s *settler) acts(it *item) bool {
	return !s.f.caps.StaleReceiptHarmless && it.settlement.Action == handler.ActionRetry
}

// bounded returns the context of a request. That of a repeated request ends before one
// of its messages becomes visible again.
func (s *settler) bounded(todo []*item, try int) (context.Context, context.CancelFunc) {
	if try > 1 {
		var end time.Time
		for _, it := range todo {
			if at := it.comesBack(); s.acts(it) && (end.IsZero() || at.Before(end)) {
				end = at
			}
		}
		if !end.IsZero() {
			return context.WithDeadline(s.ops, end)
		}
	}
	return context.WithCancel(s.ops)
}

// pause waits, with jitter. It reports whether time is left.
func (s *settler) pause(d time.Duration) bool {
	return sleep.For(s.ops, d/2+rand.N(d/2+1)) == nil
}

// settled records that SQS has confirmed a settlement.
func (s *settler) settled(it *item) {
	f, e := s.f, handler.Event{Kind: handler.EventSettled, Origin: s.f.origin, Message: it.delivery.Message, Action: it.settlement.Action}
	it.observed = true
	switch {
	case it.settlement.Action == handler.ActionDeadLetter:
		it.ok, it.gone = true, true
	case it.settlement.Action == handler.ActionAck:
		return // report observes it
	case it.released():
		e.Kind, e.Delay = handler.EventReleased, it.settlement.Delay
		f.notePostponed(it)
	default:
		e.Delay = it.settlement.Delay
	}
	f.observe(e)
}

// unsettled records that a settlement has failed. The message is reported as failed,
// so it is redelivered, although at another time.
func (s *settler) unsettled(it *item, err error) {
	f, action := s.f, it.settlement.Action
	if action == handler.ActionAck {
		f.log.Warn("a handled message could not be deleted, and the rest of its batch failed: the message is redelivered", "queue", f.caps.Queue,
			"message", it.id, "attempt", it.attempt, "error", err)
		return
	}
	const text = "verdict could not be carried out: the message is reported as failed and redelivered when its visibility timeout ends"
	if action == handler.ActionDeadLetter {
		if missed, ok := f.loud.Allow(time.Now(), time.Minute); ok {
			f.log.Error(text, "queue", f.caps.Queue, "message", it.id, "attempt", it.attempt, "verdict", action.String(),
				"dead_letter_queue", f.caps.DeadLetterQueue, "reason", invoke.Safe(it.verdict.Err), "error", err, "not_logged", missed)
		}
	} else {
		f.log.Warn(text, "queue", f.caps.Queue, "message", it.id, "attempt", it.attempt, "verdict", action.String(), "error", err)
	}
	if it.released() {
		return // it goes back unhandled in any case; report observes it
	}
	it.observed = true
	f.observe(handler.Event{Kind: handler.EventSettled, Origin: f.origin, Message: it.delivery.Message, Action: action, Err: err})
}
