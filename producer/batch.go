package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// pump sends what is to be sent now and sets the timer for the rest. p.mu is
// held.
func (p *Producer) pump() {
	for len(p.pending) > 0 && p.inFlight < p.cfg.MaxInFlight && p.ready() {
		batch := p.take()
		if len(batch) == 0 {
			continue
		}
		p.inFlight++
		p.tasks.Add(1)
		go p.send(batch)
	}
	if len(p.pending) > 0 && p.inFlight < p.cfg.MaxInFlight {
		p.arm()
	}
}

// comeback is how long messages wait for company after a request that several
// callers shared was answered: those callers are about to send their next ones.
// When as many wait as they are, there is nobody else to wait for.
const comeback = time.Millisecond

// ready says whether a batch is to be sent now. p.mu is held.
func (p *Producer) ready() bool {
	return len(p.pending) >= p.caps.MaxSend ||
		p.caps.MaxBatchBytes > 0 && p.load >= p.caps.MaxBatchBytes ||
		p.pending[0].call.bulk || // the end of many messages: its caller has gathered
		p.inFlight == 0 && p.expected > 0 && len(p.pending) >= p.expected ||
		p.patience() <= 0
}

// patience is how long the oldest message may still wait. p.mu is held.
func (p *Producer) patience() time.Duration {
	d := p.cfg.Linger - time.Since(p.pending[0].at)
	if p.inFlight == 0 {
		d = min(d, comeback-time.Since(p.answers))
	}
	return d
}

// arm sets the timer to the end of the oldest message's wait. p.mu is held.
func (p *Producer) arm() {
	d := p.patience()
	if p.timer == nil {
		p.timer = time.AfterFunc(d, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.ctx.Err() == nil {
				p.pump()
			}
		})
		return
	}
	p.timer.Reset(d)
}

// flush sends what waits for company, as far as the limit on requests allows.
// p.mu is held.
func (p *Producer) flush() {
	for _, e := range p.pending {
		e.at = time.Time{}
	}
	p.pump()
}

// take cuts the next batch from what is pending. It may be empty where nothing
// of it can be sent now. p.mu is held.
func (p *Producer) take() []*entry {
	batch := make([]*entry, 0, min(p.caps.MaxSend, len(p.pending)))
	bytes, i := 0, 0
	for ; i < len(p.pending) && len(batch) < p.caps.MaxSend; i++ {
		e := p.pending[i]
		if m := p.caps.MaxBatchBytes; m > 0 && len(batch) > 0 && bytes+e.size > m {
			break
		}
		p.load -= e.size
		if !p.wanted(e) {
			p.pass(e)
			continue
		}
		if p.setAside(e) {
			continue
		}
		bytes += e.size
		batch = append(batch, e)
		if p.single() {
			p.claim(e)
		}
	}
	rest := copy(p.pending, p.pending[i:])
	clear(p.pending[rest:])
	p.pending = p.pending[:rest]
	for _, e := range batch {
		p.claim(e)
		e.tries++
		e.flying, e.turn = true, false
	}
	return batch
}

// wanted says whether an entry is still to be sent; one that is not is answered.
// p.mu is held.
func (p *Producer) wanted(e *entry) bool {
	switch {
	case e.call.gone:
		p.drop(e)
		return false
	case p.heldBack(e):
		p.end(e, ErrHeldBack)
		return false
	}
	return true
}

// end answers an entry for good. p.mu is held.
func (p *Producer) end(e *entry, err error) {
	p.drop(e)
	p.answer(e, err)
}

// send sends a batch.
func (p *Producer) send(batch []*entry) {
	defer p.tasks.Done()
	errs, again := p.request(batch)
	p.sent(batch, errs, again)
}

// heed is what a request that heeds its context may take to return after the
// context's end.
const heed = time.Second

// request makes the request for a batch. again reports which failures may pass. A
// request that does not heed the end of its context is left behind: the hook and
// the sink are the user's.
func (p *Producer) request(batch []*entry) (errs []error, again []bool) {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.RequestTimeout)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		var a answer
		done := false
		defer func() {
			if !done { // it has ended its goroutine
				a = answer{slices.Repeat([]error{invoke.ErrGoexit}, len(batch)), noneAgain(len(batch))}
			}
			answers <- a
		}()
		a.errs, a.again = p.ask(ctx, batch)
		done = true
	}()
	select {
	case a := <-answers:
		return a.errs, a.again
	case <-ctx.Done():
	}
	t := time.NewTimer(heed)
	defer t.Stop()
	select {
	case a := <-answers:
		return a.errs, a.again
	case <-t.C:
	}
	p.cfg.log(slog.LevelError, "a request has not ended with its time: it is left behind", "queue", p.caps.Queue, "messages", len(batch))
	return slices.Repeat([]error{fmt.Errorf("%w: the request has not ended in its time", ErrUnknown)}, len(batch)), noneAgain(len(batch))
}

// answer is what became of the messages of a request, and which failures may pass.
type answer struct {
	errs  []error
	again []bool
}

// ask calls the hook, or the sink.
func (p *Producer) ask(ctx context.Context, batch []*entry) (errs []error, again []bool) {
	ms := make([]*handler.Message, len(batch))
	for i, e := range batch {
		ms[i] = &e.msg
	}
	answered := false // by the sink; errs is its answer
	sink := func(ctx context.Context, ms []*handler.Message) []error {
		got := p.sink.Send(ctx, ms)
		if len(ms) == len(batch) {
			errs, answered = got, true
		}
		return got
	}
	var result []error
	panicked := invoke.Do(func() {
		if p.cfg.Send != nil {
			result = p.cfg.Send(ctx, ms, sink)
		} else {
			result = sink(ctx, ms)
		}
	})
	switch {
	case panicked != nil && answered:
		// The hook has failed after the sink's answer, which holds.
		p.cfg.log(slog.LevelError, "the Send hook panicked", "queue", p.caps.Queue, "error", panicked, "stack", string(panicked.Stack))
	case panicked != nil:
		// A second try would not find out whether the first was sent.
		p.cfg.log(slog.LevelError, "sending panicked", "queue", p.caps.Queue, "error", panicked, "stack", string(panicked.Stack))
		return slices.Repeat([]error{panicked}, len(batch)), noneAgain(len(batch))
	case result != nil && len(result) != len(batch):
		fault := errors.New("the driver, or the Send hook, returned another number of results than it was given messages")
		return slices.Repeat([]error{fault}, len(batch)), noneAgain(len(batch))
	default:
		errs = result
	}
	if errs == nil {
		return nil, nil
	}
	if len(errs) != len(batch) {
		fault := errors.New("the driver returned another number of results than it was given messages")
		return slices.Repeat([]error{fault}, len(batch)), noneAgain(len(batch))
	}
	again = make([]bool, len(batch))
	for i, err := range errs {
		again[i] = err != nil && codeOf(err).Retryable()
	}
	return errs, again
}

func noneAgain(n int) []bool { return make([]bool, n) }

// codeOf is drivers.CodeOf for an error that may be a hook's, whose methods can
// panic.
func codeOf(err error) drivers.Code {
	code := drivers.Unclassified
	if invoke.Do(func() { code = drivers.CodeOf(err) }) != nil {
		return drivers.Unclassified
	}
	return code
}

// sent takes in what became of a batch.
func (p *Producer) sent(batch []*entry, errs []error, again []bool) {
	p.mu.Lock()
	p.inFlight--
	if shared(batch) {
		p.answers, p.expected = time.Now(), len(p.pending)+len(batch)
	}
	news := p.sort(batch, errs, again)
	p.pump()
	p.mu.Unlock()
	if news != nil {
		news()
	}
}

// shared says whether the entries are of several calls.
func shared(batch []*entry) bool {
	for _, e := range batch {
		if e.call != batch[0].call {
			return true
		}
	}
	return false
}

// sort answers the entries of a batch that was sent, and has those tried again
// whose failure may pass. It returns what is to be logged, if anything. p.mu is
// held.
func (p *Producer) sort(batch []*entry, errs []error, passes []bool) (news func()) {
	now := time.Now()
	var again []*entry
	tries := 0                  // of what is tried again for its own failure
	failed := map[string]bool{} // groups
	for i, e := range batch {
		e.flying = false
		if errs == nil || errs[i] == nil {
			p.end(e, nil)
			continue
		}
		err := errs[i]
		if p.grouped(e) {
			if failed[e.msg.Group] {
				// Of a group only the first failure is the message's own: the
				// later ones were held back by it.
				e.tries--
				if p.wanted(e) {
					again = append(again, e)
				}
				continue
			}
			failed[e.msg.Group] = true
		}
		if e.err == nil {
			e.since = now
		}
		e.err = err
		switch {
		case e.call.gone:
			p.drop(e)
		case !passes[i] || now.Sub(e.since) >= p.cfg.RetryFor:
			p.end(e, err)
		default:
			tries = max(tries, e.tries)
			p.fails(e)
			again = append(again, e)
		}
	}
	p.unclaim(batch, again)
	return p.retry(again, tries)
}

// retry has entries sent again: after a while, or immediately if they were only
// held back by one that failed for good. It returns what is to be logged, if
// anything. p.mu is held.
func (p *Producer) retry(again []*entry, tries int) (news func()) {
	switch {
	case len(again) == 0:
		if p.failing {
			p.failing = false
			return func() { p.cfg.log(slog.LevelInfo, "sending works again", "queue", p.caps.Queue) }
		}
	case tries == 0:
		p.requeue(again)
	default:
		if !p.failing {
			p.failing = true
			err := again[0].err
			news = func() {
				p.cfg.log(slog.LevelWarn, "sending fails: it is tried again", "queue", p.caps.Queue, "error", invoke.Safe(err))
			}
		}
		p.tasks.Add(1)
		time.AfterFunc(retryDelay(tries), func() {
			defer p.tasks.Done()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.requeue(again)
			p.pump()
		})
	}
	return news
}

// The wait before a message is sent again.
const (
	retryBase = 100 * time.Millisecond
	retryCap  = 5 * time.Second
)

func retryDelay(tries int) time.Duration {
	d := retryCap
	if tries < 10 {
		d = min(retryBase<<(tries-1), retryCap)
	}
	return d/2 + rand.N(d/2+1)
}
