package consumer

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/batch"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// An extender sends the extensions that a source's leases want.
//
// Invariant: an extension on its way (keeper.sent) is answered exactly once. Whatever
// came up meanwhile and must not race it (a verdict, a nack, a rerun) is started by
// that answer.
type extender struct {
	source  *source
	batches *batch.Batcher[*delivery]
}

func newExtender(s *source) *extender {
	e := &extender{source: s}
	e.batches = batch.New(batch.Config[*delivery]{Max: max(s.caps.MaxExtend, 1), Parallel: parallelRequests, Flush: e.send})
	return e
}

// add makes the extender send the extension that d wants by the given time.
func (e *extender) add(d *delivery, by time.Time) { e.batches.Add(d, by) }

// send sends a batch of extensions, each within its lease: on a standard SQS queue
// an old receipt extends the lease of the current holder.
func (e *extender) send(ds []*delivery) {
	e.source.c.sleepClock.shortenLeases()
	// takeExtension finds leases that are over, and answers those who wait.
	byLeaseLeft(ds, e.request, func(ds []*delivery) { e.request(ds, 0) })
}

// request sends one request of extensions. The shortest of their leases has the given
// time left.
func (e *extender) request(ds []*delivery, left time.Duration) {
	s := e.source
	slept, now := s.asleep(), time.Now()
	es := make([]drivers.Extension, 0, len(ds))
	sent := ds[:0]
	for _, d := range ds {
		by, ok := d.takeExtension(now)
		if !ok {
			continue
		}
		es = append(es, drivers.Extension{Receipt: d.receipt, By: by})
		sent = append(sent, d)
	}
	if len(es) == 0 {
		return
	}
	// A request that hangs must leave time for another.
	ctx, cancel := context.WithTimeout(s.c.ops, min(max(left/2, time.Second), 20*time.Second, left))
	var errs []error
	if ctx.Err() == nil {
		errs = s.driver.Extend(ctx, es)
	} else {
		errs = s.endedErrors(len(es))
	}
	cancel()
	if slept = s.asleep() - slept; slept > jitter {
		now = now.Add(-slept) // the provider may have answered before
	}
	for i, d := range sent {
		e.answer(d, now, es[i].By, itemError(errs, i, len(es)))
	}
}

// answer takes the answer to an extension that was sent at the given time.
func (e *extender) answer(d *delivery, sent time.Time, by time.Duration, err error) {
	s := e.source
	c := s.c
	now := time.Now()
	d.mu.Lock()
	l := &d.lease
	k := l.keep
	lost := invoke.Is(err, drivers.ErrLeaseLost)
	if lost || l.lost {
		k.answerSent(handler.ErrLeaseLost)
	} else {
		k.answerSent(err)
	}
	l.revoked = l.revoked || lost // from now on no verdict is carried out
	submit := d.state == settling && d.verdict.waits
	d.verdict.waits = false
	due := d.state == parked && d.verdict.due && !lost && !l.lost
	refused := false
	switch {
	case err == nil:
		k.tries, k.retryAt = 0, 0
		if !l.lost && d.state <= settling {
			l.deadline = at(sent).add(by)
			(*handlerLease)(d).scheduleHooks()
		}
	case lost:
	case drivers.CodeOf(err).Retryable() || refusal(drivers.CodeOf(err)):
		// The rest of the lease is for trying again. A refusal may pass, as that of a
		// settlement may: credentials are renewed, permissions change.
		k.tries++
		refused = k.tries == 1 && !drivers.CodeOf(err).Retryable()
		k.retryAt = at(now).add(backoffDelay(k.tries, 50*time.Millisecond, max(l.deadline.sub(at(now))/4, 50*time.Millisecond)))
	default:
		refused = !k.refused
		k.refused = true
	}
	if d.state <= parked && !l.lost {
		if k.want > 0 {
			e.add(d, now.Add(c.cfg.linger()))
		}
		switch {
		case lost:
		case d.state == parked:
			c.parking.reschedule(d, now)
		default:
			d.reschedule(now)
		}
	}
	d.mu.Unlock()

	c.report.observe(handler.Event{Kind: handler.EventExtended, Origin: s.origin, Message: d.msg, Extension: by, Err: err})
	if refused {
		c.report.extensionRefused(d, err, now)
	}
	if submit && lost {
		c.heap.Remove(d)
		s.settler.expire([]*delivery{d})
		return
	}
	if submit {
		s.settler.submit(d, now)
		return
	}
	if due {
		c.parking.wake(d, now)
	}
	if lost {
		d.loseLease(err)
	}
}

// ampleLease is the rest of a lease from which on a request needs no care: more than
// any request takes.
const ampleLease = 10 * time.Second

// byLeaseLeft splits ds into requests of deliveries whose leases have similar times
// left and passes each to send, with the shortest of these times: a lease that is
// nearly over must not cut the request of others short. Deliveries whose lease is over
// are passed to expire. ds is reordered.
//
// If every lease has ample time left, as is usual, it costs one pass; otherwise it
// sorts.
func byLeaseLeft(ds []*delivery, send func([]*delivery, time.Duration), expire func([]*delivery)) {
	least, now := endless, time.Now()
	for _, d := range ds {
		least = min(least, d.leaseLeft(now))
	}
	if least >= ampleLease {
		send(ds, least)
		return
	}
	slices.SortFunc(ds, func(a, b *delivery) int { return cmp.Compare(a.leaseLeft(now), b.leaseLeft(now)) })
	for len(ds) > 0 {
		now = time.Now()
		n, left := 1, ds[0].leaseLeft(now)
		similar := func(d *delivery) bool {
			other := d.leaseLeft(now)
			return left >= ampleLease || left > 0 && other <= 2*left || left <= 0 && other <= 0
		}
		for n < len(ds) && similar(ds[n]) {
			n++
		}
		if left > 0 {
			send(ds[:n:n], left)
		} else {
			expire(ds[:n:n])
		}
		ds = ds[n:]
	}
}
