package producer

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A dispatcher cuts the entries of all calls into batches and sends them. An entry
// goes this way:
//
//	submit ──▶ pending ──▶ request ──▶ answered
//	            ▲   │         │
//	            │   ▼         ▼ a failure that may pass
//	            └─ group ◀── pause
//
// Invariants: an entry that is not answered is in exactly one of these places, and
// counted in buffers; a group that keeps its order has messages in one request at
// most.
type dispatcher struct {
	cfg       *Config
	caps      drivers.Capabilities
	requester requester
	ctx       context.Context // of requests
	cancel    context.CancelFunc
	calls     sync.WaitGroup // of Send
	tasks     sync.WaitGroup // requests and pauses
	batches   chan []*entry  // for a worker that is idle

	// mu guards the rest, and the entries and calls. No user code, which includes
	// the methods of errors, loggers and sinks, is called under it.
	mu       sync.Mutex
	closed   bool
	pending  pending
	buffers  buffers
	groups   groups
	inFlight int         // requests on their way
	answers  time.Time   // when the latest request of several callers was answered
	expected int         // messages that will wait once those callers send their next ones
	timer    *time.Timer // for the oldest pending entry
	failing  bool        // messages are being tried again
}

func newDispatcher(cfg *Config, sink drivers.Sink, caps drivers.Capabilities) *dispatcher {
	d := &dispatcher{
		cfg: cfg, caps: caps, requester: requester{cfg: cfg, sink: sink, queue: caps.Queue}, batches: make(chan []*entry),
		buffers: buffers{maxMessages: cfg.MaxBuffered, maxBytes: cfg.MaxBufferedBytes},
	}
	d.groups = groups{claimed: make(map[string]*group), single: caps.MaxSendGroup <= 1, buffers: &d.buffers}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// begin reports whether a call may begin. It must then end with calls.Done.
func (d *dispatcher) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.calls.Add(1)
	return true
}

// submit takes the entries of a call as there is room for them. An entry that has
// an error already, or for which ctx ends too soon, is answered with it.
func (d *dispatcher) submit(ctx context.Context, entries []entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if e.err == nil {
			e.err = d.room(ctx, e)
		}
		if e.err == nil && e.call.heldBack(e) {
			e.err = ErrHeldBack
		}
		if e.err != nil {
			e.call.answer(e, e.err)
			continue
		}
		d.buffers.enter(e)
		e.at = time.Now()
		d.pending.push(e)
	}
	d.pump()
}

// leave ends a call and returns its result.
func (d *dispatcher) leave(ctx context.Context, c *call, entries []entry, ms []*handler.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.leave(ctx, d.caps.Queue, entries, ms)
}

// stop ends the beginning of calls, and sends the pending entries without waiting
// for company. It reports whether this call was the first.
func (d *dispatcher) stop() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.closed = true
	d.flush()
	return true
}

// wait waits for the calls, then ends the requests that they have left and waits
// for them. It follows stop.
func (d *dispatcher) wait() {
	d.calls.Wait()
	d.cancel()
	d.mu.Lock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.mu.Unlock()
	d.tasks.Wait()
}

// The methods below, except work, send and answered, are called with mu held.

// room waits until there is room for an entry. It releases mu meanwhile.
func (d *dispatcher) room(ctx context.Context, e *entry) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e.aside = d.groups.failing(e.group)
		if !d.buffers.full(d.buffers.of(e), e.size) {
			return nil
		}
		// The pending entries would wait for company from this caller.
		d.flush()
		space := d.buffers.wait()
		d.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
		}
		d.mu.Lock()
	}
}

// pump sends the batches that are due, and sets the timer for the rest.
func (d *dispatcher) pump() {
	for len(d.pending.entries) > 0 && d.inFlight < d.cfg.MaxInFlight && d.due() {
		batch := d.take()
		if len(batch) == 0 {
			continue
		}
		d.inFlight++
		d.tasks.Add(1)
		select {
		case d.batches <- batch:
		default:
			go d.work(batch)
		}
	}
	if len(d.pending.entries) > 0 && d.inFlight < d.cfg.MaxInFlight {
		d.arm()
	}
}

// comeback is how long entries wait for company after a request that several
// callers shared was answered: those callers are about to send their next
// messages. Once as many wait, there is nobody else to wait for.
const comeback = time.Millisecond

// due reports whether the next batch must be sent now.
func (d *dispatcher) due() bool {
	return len(d.pending.entries) >= d.caps.MaxSend ||
		d.caps.MaxBatchBytes > 0 && d.pending.bytes >= d.caps.MaxBatchBytes ||
		d.pending.entries[0].call.bulk || // its caller has gathered already
		d.inFlight == 0 && d.expected > 0 && len(d.pending.entries) >= d.expected ||
		d.patience() <= 0
}

// patience returns how long the oldest entry may still wait.
func (d *dispatcher) patience() time.Duration {
	left := d.cfg.Linger - time.Since(d.pending.entries[0].at)
	if d.inFlight == 0 {
		left = min(left, comeback-time.Since(d.answers))
	}
	return left
}

// arm sets the timer to the end of the oldest entry's wait.
func (d *dispatcher) arm() {
	left := d.patience()
	if d.timer == nil {
		d.timer = time.AfterFunc(left, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.ctx.Err() == nil {
				d.pump()
			}
		})
		return
	}
	d.timer.Reset(left)
}

// flush sends the pending entries without waiting for company, as far as the limit
// on requests allows.
func (d *dispatcher) flush() {
	for _, e := range d.pending.entries {
		e.at = time.Time{}
	}
	d.pump()
}

// take cuts the next batch from the pending entries. The batch is empty if none of
// those that it looked at may be sent now.
func (d *dispatcher) take() []*entry {
	batch := make([]*entry, 0, min(d.caps.MaxSend, len(d.pending.entries)))
	bytes, i := 0, 0
	for ; i < len(d.pending.entries) && len(batch) < d.caps.MaxSend; i++ {
		e := d.pending.entries[i]
		if m := d.caps.MaxBatchBytes; m > 0 && len(batch) > 0 && bytes+e.size > m {
			break
		}
		d.pending.bytes -= e.size
		if !d.wanted(e) {
			d.pass(e)
			continue
		}
		if d.groups.setAside(e) {
			continue
		}
		bytes += e.size
		batch = append(batch, e)
		if d.groups.single {
			d.groups.claim(e) // the next of its group waits
		}
	}
	d.pending.cut(i)
	for _, e := range batch {
		d.groups.claim(e)
		e.tries++
		e.flying, e.turn = true, false
	}
	return batch
}

// wanted reports whether an entry must still be sent. It answers one that must
// not.
func (d *dispatcher) wanted(e *entry) bool {
	switch {
	case e.call.gone:
		d.buffers.drop(e)
		return false
	case e.call.heldBack(e):
		d.answer(e, ErrHeldBack)
		return false
	}
	return true
}

// pass gives the turn of an entry that is not sent to the next of its group, which
// becomes pending behind the others.
func (d *dispatcher) pass(e *entry) {
	if !e.turn {
		return
	}
	e.turn = false
	for _, next := range d.groups.open(e, nil) {
		d.pending.push(next)
	}
}

// answer gives an entry its final result.
func (d *dispatcher) answer(e *entry, err error) {
	d.buffers.drop(e)
	e.call.answer(e, err)
}

// work sends a batch, and then others until the requests' context ends: the stack of
// its goroutine has grown to what a request takes. It is called without mu.
func (d *dispatcher) work(batch []*entry) {
	for {
		d.send(batch)
		select {
		case batch = <-d.batches:
		case <-d.ctx.Done():
			return
		}
	}
}

// send sends a batch. It is called without mu.
func (d *dispatcher) send(batch []*entry) {
	ms := make([]*handler.Message, len(batch))
	for i, e := range batch {
		ms[i] = &e.msg
	}
	d.requester.send(d.ctx, ms, func(a answer) { d.answered(batch, a) })
}

// answered takes in the answer to a batch. It is called without mu.
func (d *dispatcher) answered(batch []*entry, a answer) {
	defer d.tasks.Done()
	d.mu.Lock()
	d.inFlight--
	if shared(batch) {
		d.answers, d.expected = time.Now(), len(d.pending.entries)+len(batch)
	}
	log := d.sort(batch, a)
	d.pump()
	d.mu.Unlock()
	if log != nil {
		log()
	}
}

// shared reports whether the entries are of several calls.
func shared(batch []*entry) bool {
	for _, e := range batch {
		if e.call != batch[0].call {
			return true
		}
	}
	return false
}

// sort answers the entries of a batch that was sent, except those whose failure
// may pass, which are tried again. It returns a function that logs, or nil.
func (d *dispatcher) sort(batch []*entry, a answer) (log func()) {
	now := time.Now()
	var again []*entry
	tries := 0                  // of those that are tried again for their own failure
	failed := map[string]bool{} // groups
	for i, e := range batch {
		e.flying = false
		if a.errs == nil || a.errs[i] == nil {
			d.answer(e, nil)
			continue
		}
		if e.group != "" {
			if failed[e.group] {
				// Only the first failure of a group is the message's own: it
				// held the later ones back.
				e.tries--
				if d.wanted(e) {
					again = append(again, e)
				}
				continue
			}
			failed[e.group] = true
		}
		if e.err == nil {
			e.since = now
		}
		e.err = a.errs[i]
		switch {
		case e.call.gone:
			d.buffers.drop(e)
		case !a.again[i] || now.Sub(e.since) >= d.cfg.RetryFor:
			d.answer(e, e.err)
		default:
			tries = max(tries, e.tries)
			d.groups.fail(e)
			again = append(again, e)
		}
	}
	d.pending.prepend(d.groups.release(batch, again))
	return d.retry(again, tries)
}

// retry sends entries again: after a pause, or immediately if they were only held
// back by one that failed for good. It returns a function that logs, or nil.
func (d *dispatcher) retry(again []*entry, tries int) (log func()) {
	switch {
	case len(again) == 0:
		if d.failing {
			d.failing = false
			return func() { d.cfg.log(slog.LevelInfo, "sending works again", "queue", d.caps.Queue) }
		}
	case tries == 0:
		d.pending.prepend(d.groups.again(again))
	default:
		if !d.failing {
			d.failing = true
			err := again[0].err
			log = func() {
				d.cfg.log(slog.LevelWarn, "sending fails: it is tried again", "queue", d.caps.Queue, "error", invoke.Safe(err))
			}
		}
		d.tasks.Add(1)
		time.AfterFunc(retryDelay(tries), func() {
			defer d.tasks.Done()
			d.mu.Lock()
			defer d.mu.Unlock()
			d.pending.prepend(d.groups.again(again))
			d.pump()
		})
	}
	return log
}

// The pause before a message is sent again.
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
