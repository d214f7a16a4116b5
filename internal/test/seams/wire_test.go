package seams

import (
	"context"
	"errors"
	"slices"
	"time"
	"unsafe"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

var (
	errWire  = errors.New("the line is bad")
	errLost  = errors.New("the answer was lost")
	errDown  = errors.New("the queue is out of reach")
	errPart  = errors.New("this entry failed")
	errTaken = errors.New("this lease is refused")
)

func (w *world) broken(err error) *drivers.Error {
	code := drivers.Transient
	if w.dice.chance(30) {
		code = drivers.Throttled
	}
	return &drivers.Error{Code: code, Queue: "jobs", Op: "wire", Err: err}
}

// lost is the error of a request whose answer was lost. It is never Throttled: that
// says that the request was not carried out.
func (w *world) lost() error {
	err := w.broken(errLost)
	err.Code = drivers.Transient
	return err
}

// travel waits for d, unless ctx ends or the worker dies.
func travel(ctx context.Context, d time.Duration, dead <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-dead:
		return errDown
	}
}

// there is a request's way to the queue. An error means that it did not arrive.
func (w *world) there(ctx context.Context, o op, dead <-chan struct{}) error {
	d, _ := w.leg(o, slowThere)
	if err := travel(ctx, d, dead); err != nil {
		return err
	}
	for {
		w.mu.Lock()
		hang, healed := w.hang, w.healed
		var err error
		switch {
		case hang:
		case w.outage:
			err = w.broken(errDown)
		case w.chance(o, fails):
			err = w.broken(errWire)
		}
		w.mu.Unlock()
		if !hang {
			return err
		}
		select {
		case <-healed:
		case <-ctx.Done():
			return ctx.Err()
		case <-dead:
			return errDown
		}
	}
}

// back is the way of the answer. late is true if it took long.
func (w *world) back(ctx context.Context, o op, dead <-chan struct{}) (late bool, err error) {
	d, late := w.leg(o, slowBack)
	if err := travel(ctx, d, dead); err != nil {
		return late, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outage || w.hang || w.chance(o, loses) {
		return late, w.lost()
	}
	return late, nil
}

// wire stands between a worker and its queue.
type wire struct {
	drivers.Source
	w      *world
	worker *worker
	caps   drivers.Capabilities
	spin   spin
}

func (x *wire) Capabilities() drivers.Capabilities { return x.caps }

func (x *wire) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	w, dead := x.w, x.worker.dead
	if err := w.there(ctx, opReceive, dead); err != nil {
		x.spin.count(x)
		return nil, err
	}
	// An outage, and a kill, break off a receive that waits.
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer x.worker.onDeath(cancel)()
	ds, err := x.Source.Receive(waiting, most, wait)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = errDown
	}
	if err != nil || len(ds) == 0 {
		x.spin.count(x)
	}
	now := time.Now()
	w.mu.Lock()
	if err != nil && waiting.Err() != nil {
		w.canceled = append(w.canceled, now)
	}
	var got []*delivery
	for _, d := range ds {
		got = append(got, x.delivered(d, now))
	}
	w.mu.Unlock()
	late, backErr := w.back(ctx, opReceive, dead)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range got {
		d.lost = late || backErr != nil
		if d.lost {
			if m := w.byID[d.id]; m != nil {
				w.note(m, "the answer with it was late or lost: %v", backErr)
			}
		}
	}
	if backErr != nil {
		return nil, backErr
	}
	return ds, err
}

// delivered notes a delivery. w.mu is held.
func (x *wire) delivered(d drivers.Delivery, now time.Time) *delivery {
	w := x.w
	lease := d.Lease
	if lease == 0 {
		lease = x.caps.Lease
	}
	n := &delivery{receipt: d.Receipt, mid: d.Message.ID, worker: x.worker, attempt: d.Message.Attempt, at: now, ends: now.Add(lease), lost: true}
	m := w.byID[string(d.Message.Body)]
	w.byReceipt[d.Receipt], w.byBody[unsafe.SliceData(d.Message.Body)] = n, n
	if m == nil {
		w.find(ruleError, nil, "a message that nobody sent: %q", d.Message.Body)
		return n
	}
	n.id = m.id
	// On SQS and Pub/Sub what was redriven is a new message; an old one is the
	// original of a letter that could not be deleted.
	anew := !w.free()
	if m.surely && m.copies == 1 && d.Message.Attempt > 1 && !w.brokenOff(m.redrivenAt, now) && !slices.ContainsFunc(m.deliveries, func(e *delivery) bool { return e.mid == n.mid && (anew || !e.at.Before(m.redrivenAt)) }) {
		w.find(ruleAttempt, m, "its first delivery after a redrive is attempt %d", d.Message.Attempt)
	}
	m.deliveries = append(m.deliveries, n)
	w.note(m, "delivered to %s, attempt %d, lease %v, ID %s", x.worker.name, n.attempt, lease, short(n.mid))
	return n
}

func (x *wire) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	w, dead := x.w, x.worker.dead
	called := time.Now()
	errs := make([]error, len(ss))
	if err := w.there(ctx, opSettle, dead); err != nil {
		x.trouble(receiptsOf(ss), "settling failed on the way: %v", err)
		x.spin.count(x)
		return repeat(errs, err)
	}
	var good []drivers.Settlement
	var at []int
	now := time.Now()
	w.mu.Lock()
	for i, s := range ss {
		if w.chance(opSettle, inPart) {
			errs[i] = w.broken(errPart)
			x.troubled(s.Receipt, "settling failed in part")
			continue
		}
		x.settling(s, called, now)
		good, at = append(good, s), append(at, i)
	}
	w.mu.Unlock()
	if len(good) > 0 {
		answers := x.Source.Settle(ctx, good)
		w.mu.Lock()
		for i := range good {
			var err error
			if answers != nil {
				err = answers[i]
			}
			errs[at[i]] = err
			x.settled(good[i], err)
		}
		w.mu.Unlock()
	}
	if _, err := w.back(ctx, opSettle, dead); err != nil {
		x.trouble(receiptsOf(ss), "the answer to its settlement was lost: %v", err)
		return repeat(errs, err)
	}
	return orNil(errs)
}

// settling checks a settlement that reaches the queue now. w.mu is held.
func (x *wire) settling(s drivers.Settlement, called, now time.Time) {
	w := x.w
	d := w.byReceipt[s.Receipt]
	if d == nil {
		w.find(ruleError, nil, "a settlement by a receipt that nobody was given")
		return
	}
	m := w.byID[d.id]
	if m == nil {
		return
	}
	switch {
	case !d.refused.IsZero() && called.After(d.refused):
		w.find(ruleLate, m, "%s: %v is carried out %v after the queue has said that the lease is lost", x.worker.name, describe(s), called.Sub(d.refused))
	case now.After(d.ends):
		w.find(ruleLate, m, "%s: %v reaches the queue %v after its lease has ended", x.worker.name, describe(s), now.Sub(d.ends))
	}
}

// settled notes what the queue has answered. w.mu is held.
func (x *wire) settled(s drivers.Settlement, err error) {
	w := x.w
	d := w.byReceipt[s.Receipt]
	if d == nil || w.byID[d.id] == nil {
		return
	}
	m := w.byID[d.id]
	w.note(m, "settled by %s: %s: %v", x.worker.name, describe(s), err)
	if err != nil {
		d.troubled = true
		return
	}
	switch s.Action {
	case handler.ActionAck, handler.ActionDrop, handler.ActionDeadLetter:
		now := time.Now()
		d.settled, d.settledAt = true, now
		d.acked = s.Action != handler.ActionDeadLetter && now.Before(d.ends) && !d.stolen
		if m.left.IsZero() {
			m.left, m.leftHow = now, s.Action
		}
		if s.Action == handler.ActionDeadLetter {
			m.dead = true
		}
	case handler.ActionRetry:
		d.released, d.releasedAt = s.Released, time.Now()
		d.draining = x.worker.stopping
	}
}

func (x *wire) Extend(ctx context.Context, es []drivers.Extension) []error {
	w, dead := x.w, x.worker.dead
	errs := make([]error, len(es))
	receipts := make([]string, len(es))
	for i, e := range es {
		receipts[i] = e.Receipt
	}
	if err := w.there(ctx, opExtend, dead); err != nil {
		x.trouble(receipts, "extending failed on the way: %v", err)
		x.spin.count(x)
		return repeat(errs, err)
	}
	var good []drivers.Extension
	var at []int
	w.mu.Lock()
	for i, e := range es {
		switch {
		case w.chance(opExtend, inPart):
			errs[i] = w.broken(errPart)
			x.troubled(e.Receipt, "extending failed in part")
		case w.chance(opExtend, leaseIsOff):
			errs[i] = &drivers.Error{Code: drivers.LeaseLost, Queue: "jobs", Op: "extend", Err: errTaken}
			x.troubled(e.Receipt, "its extension was refused")
		default:
			good, at = append(good, e), append(at, i)
		}
	}
	w.mu.Unlock()
	if len(good) > 0 {
		answers := x.Source.Extend(ctx, good)
		now := time.Now()
		w.mu.Lock()
		for i, e := range good {
			if answers != nil && answers[i] != nil {
				errs[at[i]] = answers[i]
				x.troubled(e.Receipt, "the queue did not extend it: %v", answers[i])
				continue
			}
			if d := w.byReceipt[e.Receipt]; d != nil && !d.settled {
				d.ends = now.Add(e.By)
				if m := w.byID[d.id]; m != nil {
					w.note(m, "extended by %s to %v", x.worker.name, e.By)
				}
			}
		}
		w.mu.Unlock()
	}
	if _, err := w.back(ctx, opExtend, dead); err != nil {
		x.trouble(receipts, "the answer to its extension was lost: %v", err)
		return repeat(errs, err)
	}
	w.mu.Lock()
	for i, e := range es {
		if d := w.byReceipt[e.Receipt]; d != nil && drivers.CodeOf(errs[i]) == drivers.LeaseLost && d.refused.IsZero() {
			d.refused = time.Now()
			d.troubled = true
		}
	}
	w.mu.Unlock()
	return orNil(errs)
}

func (x *wire) Close() error { return x.Source.Close() }

// Depth is answered by the queue itself, unless that is out of reach.
func (x *wire) Depth(ctx context.Context) (drivers.Depth, error) {
	if err := x.w.there(ctx, opReceive, x.worker.dead); err != nil {
		return drivers.Depth{}, err
	}
	if i, ok := x.Source.(drivers.Inspector); ok {
		return i.Depth(ctx)
	}
	return drivers.Depth{}, &drivers.Error{Code: drivers.Unsupported}
}

// Peek is nothing that the runtime does.
func (x *wire) Peek(context.Context, int, bool) ([]*handler.Message, error) {
	return nil, &drivers.Error{Code: drivers.Unsupported}
}

// trouble notes that something went wrong with each receipt.
func (x *wire) trouble(receipts []string, format string, args ...any) {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	for _, r := range receipts {
		x.troubled(r, format, args...)
	}
}

// troubled does for one. w.mu is held.
func (x *wire) troubled(receipt, format string, args ...any) {
	d := x.w.byReceipt[receipt]
	if d == nil {
		return
	}
	d.troubled = true
	if m := x.w.byID[d.id]; m != nil {
		x.w.note(m, format, args...)
	}
}

// spin counts the requests of a worker that brought nothing.
type spin struct {
	second time.Time
	n      int
	told   bool
}

// tooMany is how many requests that bring nothing a consumer may make in a
// second, all its pollers together.
const tooMany = 400

func (s *spin) count(x *wire) {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	if now := time.Now(); now.Sub(s.second) > time.Second {
		s.second, s.n = now, 0
	}
	if s.n++; s.n > tooMany && !s.told {
		s.told = true
		x.w.find(ruleSpin, nil, "%s made more than %d requests in a second that brought nothing", x.worker.name, tooMany)
	}
}

// sinkWire stands between a producer and its queue.
type sinkWire struct {
	drivers.Sink
	w *world
}

func (x *sinkWire) Send(ctx context.Context, ms []*handler.Message) []error {
	w := x.w
	errs := make([]error, len(ms))
	if err := w.there(ctx, opSend, nil); err != nil {
		return repeat(errs, err)
	}
	// As a sink promises, one that fails is not overtaken by later ones of its
	// group.
	failed := map[string]bool{}
	var good []*handler.Message
	var at []int
	w.mu.Lock()
	for i, m := range ms {
		if w.chance(opSend, inPart) || m.Group != "" && failed[m.Group] {
			errs[i] = w.broken(errPart)
			failed[m.Group] = true
			continue
		}
		good, at = append(good, m), append(at, i)
	}
	w.mu.Unlock()
	if len(good) > 0 {
		answers := x.Sink.Send(ctx, good)
		w.mu.Lock()
		for i, m := range good {
			if answers != nil && answers[i] != nil {
				errs[at[i]] = answers[i]
				continue
			}
			if known := w.byID[string(m.Body)]; known != nil {
				known.copies++
				w.note(known, "reached the queue, ID %s", short(m.ID))
			}
		}
		w.mu.Unlock()
	}
	if _, err := w.back(ctx, opSend, nil); err != nil {
		w.mu.Lock()
		for _, m := range ms {
			if known := w.byID[string(m.Body)]; known != nil {
				w.note(known, "the answer to its sending was lost")
			}
		}
		w.mu.Unlock()
		return repeat(errs, err)
	}
	return orNil(errs)
}

func describe(s drivers.Settlement) string {
	text := s.Action.String()
	if s.Delayed {
		text += " in " + s.Delay.String()
	}
	if s.Released {
		text += " (released)"
	}
	if s.Failure != nil {
		text += " because " + s.Failure.Reason
	}
	return text
}

func receiptsOf(ss []drivers.Settlement) []string {
	out := make([]string, len(ss))
	for i, s := range ss {
		out[i] = s.Receipt
	}
	return out
}

func repeat(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func orNil(errs []error) []error {
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

func short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}
