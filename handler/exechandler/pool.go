package exechandler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
)

// errClosed is in the error of a message that came after Close or Kill.
var errClosed = errors.New("the pool of workers is closed")

// A Pool hands messages to workers, which it starts, replaces and ends. Make one
// with [NewPool]. It may be used concurrently.
type Pool struct {
	path   string
	words  []string
	config PoolConfig
	// now ends when workers must be killed immediately.
	now  context.Context
	kill context.CancelFunc
	// slots has an entry for each worker that has a message, is being started or
	// is ending. Since none is started while one is idle, there are never more
	// workers than slots.
	slots   chan struct{}
	restart *restart
	closing chan struct{}
	closed  chan struct{}
	once    sync.Once
	// dropped is that attributes were not passed on.
	dropped attribute.Drops

	mu sync.Mutex
	// idle are the workers without a message, the last used last: what is not
	// needed stays out of memory.
	idle []*worker
}

var _ handler.Handler = (*Pool)(nil)

// NewPool returns a handler that hands messages to workers: processes that run
// command, a program and its arguments. The program is looked up now: the error
// wraps exec.ErrNotFound if there is none. It is started when there are
// messages for it. A nil config has the defaults. Close the pool when the
// consumer has returned.
func NewPool(command []string, config *PoolConfig) (*Pool, error) {
	c, faults := config.complete()
	path, err := lookUp(command)
	if err := errors.Join(faults, err); err != nil {
		return nil, fmt.Errorf("exechandler: %w", err)
	}
	p := &Pool{
		path: path, words: slices.Clone(command), config: c,
		slots: make(chan struct{}, c.Workers), restart: &restart{least: c.MinRestart, most: c.MaxRestart},
		closing: make(chan struct{}), closed: make(chan struct{}),
	}
	p.now, p.kill = context.WithCancel(context.Background())
	return p, nil
}

// Gate returns a gate for the consumer ([consumer.Config].Gates) that holds back
// receiving while workers keep failing, as with a program that cannot start: each
// message given to such a worker would cost the message an attempt. It
// occasionally lets a message through as a probe.
//
// [consumer.Config]: https://pkg.go.dev/github.com/sluice-go/sluice/consumer#Config
func (p *Pool) Gate() handler.Gate { return p.restart }

// Kill kills all workers with SIGKILL, without waiting for them; no more are
// started. It may be called at any time, also twice. Close is still needed.
func (p *Pool) Kill() { p.kill() }

// Close ends the workers: it waits for those that have a message, and gives the
// others the end of their input, then SIGTERM, then SIGKILL. It returns when
// there are none left. The error is always nil. Messages that come later are
// postponed. It may be called twice.
func (p *Pool) Close() error {
	p.once.Do(func() {
		close(p.closing)
		p.mu.Lock()
		idle := p.idle
		p.idle = nil
		p.mu.Unlock()
		var ending sync.WaitGroup
		for _, w := range idle {
			ending.Go(func() { w.retire(p.config.StopGrace) })
		}
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
		ending.Wait()
		p.kill() // there is nothing left; it frees the context
		close(p.closed)
	})
	<-p.closed
	return nil
}

// Handle implements [handler.Handler]: it waits for a worker and hands it the
// message. When ctx ends, the worker is asked to exit; Handle returns once it
// has answered or exited.
func (p *Pool) Handle(ctx context.Context, m *handler.Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text, err := encode(ctx, m)
	if err != nil {
		return handler.Reject(fmt.Errorf("the message cannot be written as JSON: %w", err))
	}
	_, dropped := attribute.Passed(m.Attributes)
	p.dropped.Log(p.config.Logger, attribute.NotPassedOn, m.ID, dropped)
	w, err := p.acquire(ctx)
	if err != nil {
		err = fmt.Errorf("%s: no worker: %w", p.words[0], err)
		if ctx.Err() != nil {
			return err
		}
		// No worker has had the message.
		return handler.Postpone(p.restart.left(), err)
	}
	answered, more, verdict := w.handle(ctx, m, text)
	switch {
	case answered:
		p.restart.answered()
	case ctx.Err() == nil && p.now.Err() == nil:
		p.restart.failed(verdict)
		if handler.VerdictOf(verdict).Postponed {
			verdict = handler.Postpone(p.restart.left(), verdict)
		}
	}
	if !more || p.config.MaxMessages > 0 && w.handled >= p.config.MaxMessages {
		go p.retire(w)
		return verdict
	}
	p.release(w)
	return verdict
}

// acquire returns a worker without a message, starting one if there is none.
func (p *Pool) acquire(ctx context.Context) (*worker, error) {
	if p.isClosed() {
		return nil, errClosed
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for w := p.pop(); w != nil; w = p.pop() {
		fault, err := w.idle()
		if err == nil {
			return w, nil
		}
		if fault {
			w.log.Warn("replacing a worker", "error", w.explain(err))
			p.restart.failed(err)
		}
		w.retire(p.config.StopGrace)
	}
	if err := p.restart.wait(ctx, p.closing); err != nil {
		<-p.slots
		return nil, err
	}
	w, err := startWorker(p.now, p.path, p.words, &p.config.Config)
	if err != nil {
		p.restart.failed(err)
		<-p.slots
		return nil, err
	}
	w.log.Debug("started a worker", "command", p.words[0])
	return w, nil
}

func (p *Pool) isClosed() bool {
	select {
	case <-p.closing:
		return true
	case <-p.now.Done():
		return true
	default:
		return false
	}
}

func (p *Pool) pop() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	w := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return w
}

// release gives a worker back that can have another message.
func (p *Pool) release(w *worker) {
	p.mu.Lock()
	if p.isClosed() {
		p.mu.Unlock()
		go p.retire(w)
		return
	}
	p.idle = append(p.idle, w)
	p.mu.Unlock()
	<-p.slots
}

// retire ends a worker whose slot is held, and frees the slot.
func (p *Pool) retire(w *worker) {
	w.retire(p.config.StopGrace)
	<-p.slots
}
