package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// A Producer sends to one queue. Create one with [New]. Its methods may be called
// concurrently.
type Producer struct {
	cfg   Config
	sink  drivers.Sink
	caps  drivers.Capabilities
	gauge *gauge // nil without Config.Pressure

	dispatcher *dispatcher
	watch      sync.WaitGroup // of the gauge
}

// New returns a Producer that sends to sink. A nil cfg selects the defaults. The
// producer owns the sink: Close closes it.
func New(sink drivers.Sink, cfg *Config) (*Producer, error) {
	full, err := cfg.complete()
	if err := errors.Join(err, setting.Refuse(sink == nil, "the sink is nil")); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p := &Producer{cfg: full, sink: sink, caps: sink.Capabilities()}
	p.caps.MaxSend = max(p.caps.MaxSend, 1)
	p.dispatcher = newDispatcher(&p.cfg, sink, p.caps)
	if full.Pressure != nil {
		p.gauge = newGauge(&p.cfg, p.caps.Queue)
		p.watch.Go(func() { p.gauge.watch(p.dispatcher.ctx) })
	}
	return p, nil
}

// Send sends the messages and sets their IDs. It returns nil when the provider has
// taken all of them. It blocks while the buffer is full, while the queue is
// overloaded and [Pressure] selects Block, and until each message is sent or has
// failed for good. The error is a [*SendError] that lists the messages that
// failed; the others were sent.
//
// When ctx is done Send returns. Messages that were waiting are not sent. A
// message that was in a request is reported with [ErrUnknown]; its body and
// attributes must not be changed after that. If ctx has ended before the call,
// nothing is sent.
//
// A message without a dedupe ID gets an identity before the first try; the package
// documentation describes its purpose. To call Send again for a message that was
// reported with ErrUnknown, set DedupeID before the first call. Otherwise the
// second call makes another identity, and the queue may have the message twice.
func (p *Producer) Send(ctx context.Context, ms ...*handler.Message) error {
	if !p.dispatcher.begin() {
		return &drivers.Error{Code: drivers.Closed, Queue: p.caps.Queue, Op: "send", Err: errors.New("the producer is closed")}
	}
	defer p.dispatcher.calls.Done()
	if len(ms) == 0 {
		return nil
	}
	c, entries := newCall(len(ms), p.caps.MaxSend)
	for i, m := range ms {
		entries[i].err = entries[i].prepare(ctx, &p.cfg, &p.caps, p.gauge, m)
	}
	p.dispatcher.submit(ctx, entries)
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	return p.dispatcher.leave(ctx, c, entries, ms)
}

// Overloaded reports whether the queue is deeper than [Config.Pressure] allows. An
// HTTP endpoint can use it to answer 429 before reading a body.
func (p *Producer) Overloaded() bool { return p.gauge != nil && p.gauge.overloaded() }

// Close waits for running calls of Send and closes the sink. Later calls of Send
// return an error whose code is drivers.Closed. Close takes no longer than the
// retries of messages ([Config.RetryFor]), even if a request ignores the end of
// its context. A second call returns nil.
func (p *Producer) Close() error {
	if !p.dispatcher.stop() {
		return nil
	}
	if p.gauge != nil {
		p.gauge.close()
	}
	p.dispatcher.wait()
	p.watch.Wait()
	return p.sink.Close()
}
