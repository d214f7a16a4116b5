package drivertest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// Op is an operation of a source or a sink that a [Flaky] makes fail.
type Op uint8

// The operations.
const (
	OpReceive Op = iota
	OpSettle
	OpExtend
	OpSend
	// OpDepth is Depth and Peek of a source that is a [drivers.Inspector].
	OpDepth
	ops
)

var opNames = [ops]string{OpReceive: "receive", OpSettle: "settle", OpExtend: "extend", OpSend: "send", OpDepth: "depth"}

// String returns the operation's name.
func (o Op) String() string {
	if o < ops {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// An Entry is one item of a batch that reaches a [Flaky].
type Entry struct {
	Op      Op
	Receipt string // empty for a sent message
	// Message is the sent or settled message; nil for an extension.
	Message *handler.Message
	// Action, Delay and Delayed are those of a settlement.
	Action  handler.Action
	Delay   time.Duration
	Delayed bool
	// By is the duration of an extension.
	By time.Duration
}

// Flaky makes the sources and sinks that it wraps fail on demand, and counts
// what reaches them, so that a test of a failure can prove that the failure
// happened. The zero Flaky is healthy. Its methods may be called concurrently
// and at any time; they affect all sources and sinks that it wraps. It waits on
// channels only, so that it works inside a testing/synctest bubble.
type Flaky struct {
	mu      sync.Mutex
	outage  error
	waiting map[*context.CancelFunc]struct{} // receives that an outage breaks off
	ops     [ops]flakyOp
}

type flakyOp struct {
	failures []error // of the calls to come, first first
	lost     []error
	pick     func(Entry) error
	hold     chan struct{} // closed by its release; nil if nothing is held
	calls    int
	entries  int
	failed   int
}

// Source returns s with f's failures. It is a [drivers.Inspector] where s is
// one; the other optional interfaces are not passed on.
func (f *Flaky) Source(s drivers.Source) drivers.Source {
	fs := &flakySource{Source: s, f: f}
	if i, ok := s.(drivers.Inspector); ok {
		return &flakyInspector{flakySource: fs, inspector: i}
	}
	return fs
}

// Sink returns s with f's failures. The optional interfaces are not passed on.
func (f *Flaky) Sink(s drivers.Sink) drivers.Sink { return &flakySink{Sink: s, f: f} }

// FailNext makes the next n calls of op fail with err, without reaching the
// queue. Calls of it add up.
func (f *Flaky) FailNext(op Op, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.ops[op].failures = append(f.ops[op].failures, err)
	}
}

// LoseNext makes the next n calls of op that reach the queue do their work and
// still fail with err, as when a response is lost on its way. Deliveries of a lost
// receive are redelivered when their lease ends.
func (f *Flaky) LoseNext(op Op, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.ops[op].lost = append(f.ops[op].lost, err)
	}
}

// FailEntries has pick asked about each entry of the batches of op: one for
// which it returns an error fails with it, and does not reach the queue. The
// others of its batch do. A nil pick ends it. pick is called concurrently if
// the operations are. It means nothing for OpReceive and OpDepth.
func (f *Flaky) FailEntries(op Op, pick func(Entry) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops[op].pick = pick
}

// Outage makes every call fail with err until [Flaky.Recover] is called, and
// breaks off the receives that wait. err must not be nil.
func (f *Flaky) Outage(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outage = err
	for cancel := range f.waiting {
		(*cancel)()
	}
}

// Recover ends an outage and forgets the failures that are still to come. The effects of
// FailEntries and Hold stay.
func (f *Flaky) Recover() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outage = nil
	for i := range f.ops {
		f.ops[i].failures, f.ops[i].lost = nil, nil
	}
}

// Hold keeps calls of op from reaching the queue until release is called, as a
// slow provider does. A call that is held returns its context's error when that
// ends. Calling release twice is harmless.
func (f *Flaky) Hold(op Op) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.ops[op].hold = held
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.ops[op].hold == held {
			f.ops[op].hold = nil
		}
		select {
		case <-held:
		default:
			close(held)
		}
	}
}

// Calls returns how many calls of op there were, those that failed included.
func (f *Flaky) Calls(op Op) int { return f.count(func(o *flakyOp) int { return o.calls }, op) }

// Entries returns how many entries the calls of op had.
func (f *Flaky) Entries(op Op) int { return f.count(func(o *flakyOp) int { return o.entries }, op) }

// Failures returns how many failures of op were brought about: calls, and
// entries that FailEntries picked.
func (f *Flaky) Failures(op Op) int { return f.count(func(o *flakyOp) int { return o.failed }, op) }

func (f *Flaky) count(what func(*flakyOp) int, op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return what(&f.ops[op])
}

// begin counts a call, waits where calls are held, and returns the error with
// which it is to fail before it reaches the queue.
func (f *Flaky) begin(ctx context.Context, op Op, entries int) error {
	f.mu.Lock()
	o := &f.ops[op]
	o.calls++
	o.entries += entries
	held := o.hold
	f.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.outage
	if err == nil && len(o.failures) > 0 {
		err, o.failures = o.failures[0], o.failures[1:]
	}
	if err != nil {
		o.failed++
	}
	return err
}

// end returns the error with which a call is to fail though it did its work.
func (f *Flaky) end(op Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &f.ops[op]
	if len(o.lost) == 0 {
		return nil
	}
	err := o.lost[0]
	o.lost = o.lost[1:]
	o.failed++
	return err
}

func (f *Flaky) picker(op Op) func(Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops[op].pick
}

// breakable returns a context that an outage cancels, until done is called.
func (f *Flaky) breakable(ctx context.Context) (_ context.Context, done func() error) {
	ctx, cancel := context.WithCancel(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting == nil {
		f.waiting = make(map[*context.CancelFunc]struct{})
	}
	key := &cancel
	f.waiting[key] = struct{}{}
	return ctx, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		cancel()
		delete(f.waiting, key)
		return f.outage
	}
}

// batch passes a batch on to the queue, without the entries that are to fail.
func batch[T any](ctx context.Context, f *Flaky, op Op, items []T, entry func(T) Entry, pass func(context.Context, []T) []error) []error {
	all := func(err error) []error {
		errs := make([]error, len(items))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	if err := f.begin(ctx, op, len(items)); err != nil {
		return all(err)
	}
	errs := make([]error, len(items))
	var good []T
	var at []int
	pick := f.picker(op)
	failed := 0
	for i, item := range items {
		if pick != nil {
			if errs[i] = pick(entry(item)); errs[i] != nil {
				failed++
				continue
			}
		}
		good, at = append(good, item), append(at, i)
	}
	if len(good) > 0 {
		for i, err := range pass(ctx, good) {
			errs[at[i]] = err
		}
	}
	if err := f.end(op); err != nil {
		return all(err)
	}
	f.mu.Lock()
	f.ops[op].failed += failed
	f.mu.Unlock()
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

type flakySource struct {
	drivers.Source
	f *Flaky
}

func (s *flakySource) Receive(ctx context.Context, max int, wait time.Duration) ([]drivers.Delivery, error) {
	if err := s.f.begin(ctx, OpReceive, 0); err != nil {
		return nil, err
	}
	breakable, done := s.f.breakable(ctx)
	ds, err := s.Source.Receive(breakable, max, wait)
	if outage := done(); err != nil && outage != nil && ctx.Err() == nil {
		err = outage
	}
	if err == nil {
		err = s.f.end(OpReceive)
	}
	if err != nil {
		return nil, err
	}
	return ds, nil
}

func (s *flakySource) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	return batch(ctx, s.f, OpSettle, ss, func(x drivers.Settlement) Entry {
		return Entry{Op: OpSettle, Receipt: x.Receipt, Message: x.Message, Action: x.Action, Delay: x.Delay, Delayed: x.Delayed}
	}, s.Source.Settle)
}

func (s *flakySource) Extend(ctx context.Context, es []drivers.Extension) []error {
	return batch(ctx, s.f, OpExtend, es, func(x drivers.Extension) Entry {
		return Entry{Op: OpExtend, Receipt: x.Receipt, By: x.By}
	}, s.Source.Extend)
}

type flakyInspector struct {
	*flakySource
	inspector drivers.Inspector
}

func (s *flakyInspector) Depth(ctx context.Context) (drivers.Depth, error) {
	if err := s.f.begin(ctx, OpDepth, 0); err != nil {
		return drivers.Depth{}, err
	}
	return s.inspector.Depth(ctx)
}

func (s *flakyInspector) Peek(ctx context.Context, max int, dead bool) ([]*handler.Message, error) {
	if err := s.f.begin(ctx, OpDepth, 0); err != nil {
		return nil, err
	}
	return s.inspector.Peek(ctx, max, dead)
}

type flakySink struct {
	drivers.Sink
	f *Flaky
}

func (s *flakySink) Send(ctx context.Context, ms []*handler.Message) []error {
	return batch(ctx, s.f, OpSend, ms, func(m *handler.Message) Entry { return Entry{Op: OpSend, Message: m} }, s.Sink.Send)
}
