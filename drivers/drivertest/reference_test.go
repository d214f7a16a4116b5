package drivertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// reference is the smallest queue that keeps every rule which applies to it,
// with a clock that only Advance moves. It is slow and simple, so that a mutant
// of it (see mutant_test.go) differs from it in one line.
type reference struct {
	o QueueOptions

	mu       sync.Mutex
	now      time.Time
	changed  chan struct{} // closed and replaced at each change
	messages []*stored
	letters  []*stored
	receipts int
	ids      int
	seen     map[string]string // dedupe ID to message ID
	removed  bool
	moved    []deadletter.Task

	mutant mutant
}

type stored struct {
	m         handler.Message
	receipt   string
	lost      []string // the receipts of earlier deliveries
	visibleAt time.Time
	inFlight  bool
}

// sizeLimit makes the reference refuse something.
const sizeLimit = 300 << 10

func newReference(o QueueOptions, m mutant) *reference {
	return &reference{o: o, now: time.Unix(1_700_000_000, 0), changed: make(chan struct{}), seen: map[string]string{}, mutant: m}
}

func (r *reference) queue() *Queue {
	return &Queue{
		OpenSource:      func(context.Context) (drivers.Source, error) { return r.open(false), nil },
		OpenSink:        func(context.Context) (drivers.Sink, error) { return &referenceSink{face: face{r: r}}, nil },
		OpenDeadLetters: func(context.Context) (drivers.Source, error) { return r.open(true), nil },
		Advance:         r.advance,
		Remove: func(context.Context) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.removed = true
			return nil
		},
	}
}

func (r *reference) open(dead bool) drivers.Source {
	return &referenceSource{face: face{r: r}, dead: dead}
}

func (r *reference) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
	r.wake()
}

// wake wakes the receives that wait for a change.
func (r *reference) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *reference) list(dead bool) *[]*stored {
	if dead {
		return &r.letters
	}
	return &r.messages
}

// A face is what a source and a sink have in common.
type face struct {
	r      *reference
	mu     sync.Mutex
	closed bool
}

func (f *face) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed && f.r.mutant.closeTwiceFails {
		return errors.New("closed already")
	}
	f.closed = true
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.mutant.closed(f.r)
	return nil
}

func (f *face) usable(ctx context.Context, op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed && !f.r.mutant.worksAfterClose {
		return &drivers.Error{Code: drivers.Closed, Queue: "reference", Op: op}
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if f.r.removed {
		return f.r.mutant.missing(&drivers.Error{Code: drivers.NotFound, Queue: "reference", Op: op})
	}
	if f.r.mutant.ignoresContext {
		return nil
	}
	return ctx.Err()
}

func (f *face) Capabilities() drivers.Capabilities {
	o := f.r.o
	c := drivers.Capabilities{
		Queue: "reference", System: "reference", MaxReceive: 10, MaxSettle: 10, MaxExtend: 10, MaxSend: 10, MaxSendGroup: 10,
		MaxDelay: drivers.Unlimited, MaxSendDelay: drivers.Unlimited, MaxExtension: drivers.Unlimited, MaxLease: drivers.Unlimited,
		MaxMessageBytes: sizeLimit, MaxBatchBytes: 2 * sizeLimit, Lease: o.Lease, Ordered: o.Ordered, AttemptKnown: true, FreeRelease: true, StaleReceiptFails: true, StaleReceiptHarmless: true,
	}
	if o.DeadLetter {
		c.DeadLetter, c.DeadLetterQueue, c.MaxAttempts, c.NativeRedrive = true, "reference-dlq", o.MaxAttempts, true
	}
	f.r.mutant.capabilities(&c)
	return c
}

type referenceSink struct {
	face
	redrive bool // a letter that is sent back does not duplicate its message
}

func (s *referenceSink) Send(ctx context.Context, ms []*handler.Message) []error {
	errs := make([]error, len(ms))
	held := map[string]bool{}
	total := 0
	for i, m := range ms {
		err := s.usable(ctx, "send")
		if total += len(m.Body); err == nil && total > 2*sizeLimit {
			if s.r.mutant.losesHeavyBatches {
				continue
			}
			err = &drivers.Error{Code: drivers.Invalid, Queue: "reference", Op: "send", Err: errors.New("the batch is too large")}
		}
		if err == nil && len(m.Body) > sizeLimit && !s.r.mutant.noSizeLimit {
			err = &drivers.Error{Code: drivers.Invalid, Queue: "reference", Op: "send", Err: fmt.Errorf("more than %d bytes", sizeLimit)}
		}
		if err == nil && m.Delay > 0 && s.Capabilities().MaxSendDelay < 0 && !s.r.mutant.dropsDelays {
			err = &drivers.Error{Code: drivers.Unsupported, Queue: "reference", Op: "send", Err: errors.New("there are no delays")}
		}
		if err == nil && held[m.Group] && !s.r.mutant.sendOvertakes {
			err = &drivers.Error{Code: drivers.Invalid, Queue: "reference", Op: "send", Err: errors.New("an earlier message of the group failed")}
		}
		if err != nil {
			errs[i] = err
			held[m.Group] = held[m.Group] || (m.Group != "" && s.r.o.Ordered)
			continue
		}
		s.r.send(m, s.redrive)
	}
	if len(ms) == 0 {
		return s.r.mutant.ofNothing
	}
	return errs
}

func (r *reference) send(m *handler.Message, redrive bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	identity := r.mutant.identity(m)
	if id, ok := r.seen[identity]; ok && (r.o.Dedupe || r.mutant.dedupesAlways) && identity != "" && !redrive {
		m.ID = id
		return
	}
	r.ids++
	m.ID = fmt.Sprint("m", r.ids)
	r.seen[identity] = m.ID
	s := &stored{visibleAt: r.now.Add(m.Delay), m: handler.Message{
		ID: m.ID, Body: bytes.Clone(m.Body), Attributes: maps.Clone(m.Attributes), Group: m.Group, DedupeID: m.DedupeID, EnqueuedAt: r.now,
	}}
	r.mutant.stored(m, s)
	r.messages = append(r.messages, s)
	r.mutant.sent(r)
	r.wake()
}

type referenceSource struct {
	face
	dead bool
}

func (s *referenceSource) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	r := s.r
	r.mu.Lock()
	until := r.now.Add(wait)
	r.mu.Unlock()
	for {
		if err := s.usable(ctx, "receive"); err != nil {
			return nil, err
		}
		r.mu.Lock()
		ds := s.take(most)
		over, changed := !r.now.Before(until), r.changed
		r.mu.Unlock()
		if len(ds) > 0 || over || r.mutant.neverWaits {
			return ds, r.mutant.empty(ds)
		}
		if r.mutant.deafToCancel {
			ctx = context.WithoutCancel(ctx)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// take delivers what can be received. The lock is held.
func (s *referenceSource) take(most int) []drivers.Delivery {
	r := s.r
	list := s.r.list(s.dead)
	var ds []drivers.Delivery
	blocked := map[string]bool{}
	for i := 0; i < len(*list) && (len(ds) < most || r.mutant.ignoresMax); i++ {
		x := (*list)[i]
		if blocked[x.m.Group] {
			continue
		}
		if r.now.Before(x.visibleAt) {
			// A message that has a lease or waits for its retry holds its group back; a
			// message of the group that was delivered in this receive does not.
			blocked[x.m.Group] = r.o.Ordered && x.m.Group != "" && !r.mutant.groupsDoNotBlock
			continue
		}
		if most := r.o.MaxAttempts; !s.dead && most > 0 && x.m.Attempt >= most+r.mutant.extraAttempts {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			r.bury(x)
			i--
			continue
		}
		if x.inFlight && r.mutant.expiredGoLast {
			x.inFlight = false
			*list = append(append((*list)[:i:i], (*list)[i+1:]...), x)
			i--
			continue
		}
		ds = append(ds, r.deliver(x))
	}
	return ds
}

func (r *reference) deliver(x *stored) drivers.Delivery {
	r.receipts++
	if x.m.Attempt++; x.inFlight && r.mutant.expiryIsFree {
		x.m.Attempt--
	}
	x.lost = append(x.lost, x.receipt)
	x.receipt = fmt.Sprint("r", r.receipts)
	x.visibleAt = r.now.Add(r.o.Lease)
	x.inFlight = true
	m := x.m
	m.Body, m.Attributes = bytes.Clone(x.m.Body), maps.Clone(x.m.Attributes)
	d := drivers.Delivery{Message: &m, Receipt: x.receipt, Deadline: time.Now().Add(r.o.Lease)}
	r.mutant.delivered(x, &d)
	return d
}

// bury makes a message a dead letter.
func (r *reference) bury(x *stored) {
	x.inFlight, x.visibleAt, x.receipt, x.m.Attempt = false, r.now, "", 0
	r.mutant.buried(x)
	r.letters = append(r.letters, x)
	r.wake()
}

// find returns the index of the delivery with the receipt.
func (s *referenceSource) find(receipt string) (int, error) {
	for i, x := range *s.r.list(s.dead) {
		live := x.inFlight && s.r.now.Before(x.visibleAt)
		if receipt == x.receipt && receipt != "" && live {
			return i, nil
		}
		if s.r.mutant.staleReceiptsWork && slices.Contains(x.lost, receipt) {
			return i, nil
		}
	}
	return 0, &drivers.Error{Code: cmp.Or(s.r.mutant.lostAs, drivers.LeaseLost), Queue: "reference", Op: "settle"}
}

func (s *referenceSource) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	errs := make([]error, len(ss))
	for i, x := range ss {
		if most := s.r.mutant.settlesAtMost; most > 0 && i >= most {
			break
		}
		if errs[i] = s.usable(ctx, "settle"); errs[i] == nil {
			errs[i] = s.settle(x)
		}
		if errs[i] != nil && s.r.mutant.badEntryFailsTheRest {
			for j := range ss[i:] {
				errs[i+j] = errs[i]
			}
			break
		}
	}
	if len(ss) == 0 {
		return s.r.mutant.ofNothing
	}
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}

func (s *referenceSource) settle(x drivers.Settlement) error {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	i, err := s.find(x.Receipt)
	if err != nil {
		if r.mutant.resurrects && x.Action == handler.ActionRetry && x.Message != nil {
			r.messages = append(r.messages, &stored{m: *x.Message, visibleAt: r.now})
			return nil
		}
		return err
	}
	r.mutant.settling(&x)
	list := r.list(s.dead)
	found := (*list)[i]
	remove := func() { *list = append((*list)[:i:i], (*list)[i+1:]...) }
	switch x.Action {
	case handler.ActionAck, handler.ActionDrop:
		if !r.mutant.acksAreLost {
			remove()
		}
	case handler.ActionDeadLetter:
		if !r.o.DeadLetter {
			if r.mutant.dropsWithoutDeadLetterQueue {
				remove()
				return nil
			}
			return &drivers.Error{Code: drivers.Unsupported, Queue: "reference", Op: "settle", Err: errors.New("there is no dead-letter queue")}
		}
		remove()
		found.m.Attributes = drivers.FailureAttributes(x.Failure, &found.m, "reference", 0)
		r.bury(found)
	case handler.ActionRetry:
		if x.Released && !r.mutant.releasesCount {
			found.m.Attempt--
		}
		if x.Delayed {
			found.inFlight, found.visibleAt = false, r.now.Add(x.Delay)
		}
	}
	r.mutant.settled(r, found, x)
	r.wake()
	return nil
}

func (s *referenceSource) Extend(ctx context.Context, es []drivers.Extension) []error {
	errs := make([]error, len(es))
	for i, e := range es {
		if most := s.r.mutant.extendsAtMost; most > 0 && i >= most {
			break
		}
		if errs[i] = s.usable(ctx, "extend"); errs[i] != nil {
			continue
		}
		s.r.mu.Lock()
		var at int
		at, errs[i] = s.find(e.Receipt)
		if errs[i] != nil && s.r.mutant.extendsAnything {
			errs[i] = nil
		} else if errs[i] == nil {
			x := (*s.r.list(s.dead))[at]
			switch {
			case s.r.mutant.extensionsAreLost:
			case s.r.mutant.extensionsAdd:
				x.visibleAt = x.visibleAt.Add(e.By)
			default:
				x.visibleAt = s.r.now.Add(e.By)
			}
			s.r.mutant.extended(x)
		}
		s.r.mu.Unlock()
	}
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}
