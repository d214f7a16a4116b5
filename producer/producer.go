package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// A Producer sends to one queue. Make one with [New]. Its methods may be called
// concurrently.
type Producer struct {
	cfg  Config
	sink drivers.Sink
	caps drivers.Capabilities

	ctx      context.Context // of requests; ends when the producer is closed and flushed
	cancel   context.CancelFunc
	calls    sync.WaitGroup // of Send
	tasks    sync.WaitGroup // goroutines and timers of the producer's own
	pressure *gauge

	// mu guards what follows. No code of the user's, which includes the methods
	// of errors, loggers and sinks, is called under it.
	mu       sync.Mutex
	closed   bool
	working  buffer
	failed   buffer        // what is tried again, and what waits for it
	space    chan struct{} // closed when there is room again; nil if no one waits
	pending  []*entry      // in the order of sending
	load     int           // bytes of pending
	inFlight int           // requests on their way
	answers  time.Time     // when the latest request of several callers was answered
	expected int           // messages that will wait once those callers send their next ones
	groups   map[string]*group
	timer    *time.Timer // for the oldest pending
	failing  bool        // messages are being tried again
}

// New returns a Producer that sends to sink. A nil config is the defaults. The
// producer owns the sink from now on: Close closes it.
func New(sink drivers.Sink, cfg *Config) (*Producer, error) {
	full, err := cfg.complete()
	if err := errors.Join(err, setting.Refuse(sink == nil, "the sink is nil")); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p := &Producer{cfg: full, sink: sink, caps: sink.Capabilities()}
	p.caps.MaxSend = max(p.caps.MaxSend, 1)
	if p.caps.Ordered {
		p.groups = make(map[string]*group)
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if full.Pressure != nil {
		p.pressure = newGauge(&p.cfg, p.caps.Queue)
		p.tasks.Go(func() { p.pressure.watch(p.ctx) })
	}
	return p, nil
}

// entry is one message on its way.
type entry struct {
	msg  handler.Message // the producer's own copy
	call *call
	size int
	at   time.Time // when it came

	flying bool // it is on its way
	sent   bool // the provider has taken it
	turn   bool // it is the next of its group, which waits for it
	aside  bool // it is counted in Producer.failed

	answered bool      // err is final, or it was sent
	tries    int       // how often it was sent
	err      error     // why the latest try failed
	since    time.Time // when the first one did
}

// call is one call of Send.
type call struct {
	bulk bool          // it has at least as many messages as a batch takes
	done chan struct{} // closed when all are answered
	one  [1]entry      // for a call with one message

	// Guarded by Producer.mu.
	left   int             // messages that are not answered
	failed map[string]bool // groups of which a message failed for good
	gone   bool            // Send has returned
}

// Send sends the messages and returns nil when the provider has taken all of
// them. It sets their IDs. It blocks while the buffer is full, while the queue
// is overloaded and [Pressure] says to block, and until each message is sent or
// has failed for good. Failures come as a [*SendError], which tells each; the
// other messages were sent.
//
// When ctx is done Send returns: a message that waited is not sent, one that was
// on its way is reported with [ErrUnknown]. Its body and attributes must then
// not be changed any more. If ctx has ended before the call, nothing is sent.
//
// A message without a dedupe ID gets an identity, before the first try; the
// package comment says what it is for. Who calls Send again for a message that is
// reported with ErrUnknown sets DedupeID before the first call: the second call
// otherwise makes another identity, and the message may be there twice.
func (p *Producer) Send(ctx context.Context, ms ...*handler.Message) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return &drivers.Error{Code: drivers.Closed, Queue: p.caps.Queue, Op: "send", Err: errors.New("the producer is closed")}
	}
	p.calls.Add(1)
	p.mu.Unlock()
	defer p.calls.Done()
	if len(ms) == 0 {
		return nil
	}
	c := &call{bulk: len(ms) >= p.caps.MaxSend, done: make(chan struct{}), left: len(ms)}
	entries := c.one[:]
	if len(ms) > 1 {
		entries = make([]entry, len(ms))
	}
	for i, m := range ms {
		entries[i].call = c
		entries[i].err = p.prepare(ctx, &entries[i], m)
	}
	p.enqueue(ctx, entries)
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	return p.result(ctx, c, entries, ms)
}

// prepare makes the entry's copy of a message, checks it, and asks whether the
// queue can take it.
func (p *Producer) prepare(ctx context.Context, e *entry, m *handler.Message) error {
	if m == nil {
		return &drivers.Error{Code: drivers.Invalid, Queue: p.caps.Queue, Op: "send", Err: errors.New("the message is nil")}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	e.msg = *m
	if len(p.cfg.Prepare) > 0 {
		e.msg.Attributes = maps.Clone(m.Attributes)
		for _, f := range p.cfg.Prepare {
			var err error
			if panicked := invoke.Do(func() { err = f(ctx, &e.msg) }); panicked != nil {
				err = panicked
			}
			if err != nil {
				return fmt.Errorf("prepare: %w", err)
			}
		}
	}
	if e.msg.DedupeID == "" {
		// Once, before the first try: each later one is of the same message.
		e.msg.DedupeID = identity.New()
	}
	e.size = size(&e.msg)
	if err := check(&p.caps, &e.msg, e.size); err != nil {
		return err
	}
	if p.pressure != nil {
		return p.pressure.admit(ctx, &e.msg)
	}
	return nil
}

// enqueue hands a call's entries to the next batches, as there is room for them.
// One that has an error already, or is too late, is answered with it.
func (p *Producer) enqueue(ctx context.Context, entries []entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if e.err == nil {
			e.err = p.room(ctx, e)
		}
		if e.err == nil && p.heldBack(e) {
			e.err = ErrHeldBack
		}
		if e.err != nil {
			p.answer(e, e.err)
			continue
		}
		p.enter(e)
		e.at = time.Now()
		p.pending = append(p.pending, e)
		p.load += e.size
	}
	p.pump()
}

// answer tells an entry's call what became of it. p.mu is held.
func (p *Producer) answer(e *entry, err error) {
	c := e.call
	e.sent, e.err, e.answered = err == nil, err, true
	if err != nil && p.grouped(e) {
		if c.failed == nil {
			c.failed = make(map[string]bool)
		}
		c.failed[e.msg.Group] = true
	}
	c.left--
	if c.left == 0 {
		close(c.done)
	}
}

// result gathers what became of a call's messages.
func (p *Producer) result(ctx context.Context, c *call, entries []entry, ms []*handler.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.gone = true
	var failed []Failure
	for i, m := range ms {
		e := &entries[i]
		err := e.err
		switch {
		case e.sent:
			m.ID = e.msg.ID
			continue
		case e.answered:
		case e.flying:
			err = fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
		case err != nil:
			err = fmt.Errorf("%w; the latest try: %w", ctx.Err(), err)
		default:
			err = ctx.Err()
		}
		failed = append(failed, Failure{Index: i, Message: m, Err: err})
	}
	if len(failed) == 0 {
		return nil
	}
	return &SendError{Queue: p.caps.Queue, Failed: failed, Sent: len(ms) - len(failed)}
}

// Overloaded reports whether the queue is too deep, by [Config.Pressure]: an
// HTTP endpoint can answer 429 before it reads a body.
func (p *Producer) Overloaded() bool { return p.pressure != nil && p.pressure.overloaded() }

// Close waits for the calls of Send that are on their way and closes the sink.
// A call of Send after it returns an error whose code is drivers.Closed. Close
// takes no longer than the messages' retries do ([Config.RetryFor]), even if a
// request does not heed the end of its context. A second call returns nil.
func (p *Producer) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.flush()
	p.mu.Unlock()
	if p.pressure != nil {
		p.pressure.close()
	}
	p.calls.Wait()
	p.cancel()
	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.tasks.Wait()
	return p.sink.Close()
}
