// Package scan looks through the letters of a dead-letter queue, each once.
//
// A provider shows letters only by delivering them. A [Scan] keeps those that it has seen
// under their leases until its end, so that they are not delivered again and again, and
// then gives them back, without spending an attempt if the queue can do so. After a crash
// they become visible when their leases end. A scan sees as many letters as the provider
// allows in flight (SQS: 120,000).
package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

const (
	// emptyWait is how long one look into the dead-letter queue waits. SQS asks
	// only some of its servers when it does not wait at all.
	emptyWait = time.Second
	// cutAfter is how long after the end of its context a look may still take.
	cutAfter = emptyWait + 2*time.Second
	// quietLooks is how many looks in a row must bring nothing before the
	// letters count as seen to the end.
	quietLooks = 2
	// mostGiveBack limits the time for releasing letters.
	mostGiveBack = 2 * time.Minute
	// SettleTime limits the work after a context has ended: canceling a task, or
	// releasing letters.
	SettleTime = 10 * time.Second
	// DefaultHold is how long letters are kept out of sight if nothing else is asked for.
	DefaultHold = 10 * time.Minute
	// AtOnce bounds how many letters are received at the same time, and so how many a
	// crash doubles. SQS's own bound is 10.
	AtOnce = 100
)

// A Scan looks through letters. It is not safe for concurrent use.
type Scan struct {
	source drivers.Source
	caps   drivers.Capabilities
	hold   time.Duration
	seen   map[string]struct{} // letters by ID
	held   map[string]grip     // letters by ID: one that comes again has a new receipt
	empty  int                 // looks in a row that brought nothing
	again  int                 // letters in a row that were seen before

	// Hidden reports whether letters that are held stand before others of their group
	// in an ordered queue, so that those cannot be seen.
	Hidden bool
}

// A grip is the hold that a scan has on a letter.
type grip struct {
	receipt string
	until   time.Time // zero if it does not end
}

// over reports whether the letter may be another's by now.
func (g grip) over(now time.Time) bool { return !g.until.IsZero() && !now.Before(g.until) }

// New returns a scan of the letters of source, which keeps them for hold at a time.
func New(source drivers.Source, hold time.Duration) *Scan {
	return &Scan{source: source, caps: source.Capabilities(), hold: hold, seen: make(map[string]struct{}), held: make(map[string]grip)}
}

// Capabilities returns those of the dead-letter queue.
func (s *Scan) Capabilities() drivers.Capabilities { return s.caps }

// More reports whether there may be letters that the scan has not seen.
func (s *Scan) More() bool {
	// Letters are redelivered if their hold ends during a long scan. They are all
	// seen again when as many came as are held.
	return s.empty < quietLooks && s.again <= len(s.held)
}

// Next receives up to most letters and returns those that it has not returned before, or
// none. GiveBack releases all that were received and not deleted, whatever ended the scan.
// A caller that goes on must pass each letter to Hold or Delete: until then it is out of
// sight only for as long as the dead-letter queue's own lease.
func (s *Scan) Next(ctx context.Context, most int) ([]drivers.Delivery, error) {
	ds, err := s.receive(ctx, most)
	if err != nil {
		return nil, err
	}
	var fresh, old []drivers.Delivery
	for _, d := range ds {
		s.held[d.Message.ID] = grip{d.Receipt, d.Deadline}
		if _, seen := s.seen[d.Message.ID]; seen {
			old = append(old, d)
			continue
		}
		s.seen[d.Message.ID] = struct{}{}
		fresh = append(fresh, d)
	}
	switch {
	case len(ds) == 0:
		s.empty++
	case len(fresh) == 0:
		s.again += len(old)
	default:
		s.empty, s.again = 0, 0
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := s.Hold(ctx, old); err != nil {
		return nil, err
	}
	return fresh, nil
}

func (s *Scan) receive(ctx context.Context, most int) ([]drivers.Delivery, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	most = max(1, min(most, s.caps.MaxReceive, AtOnce))
	// The provider may have leased letters for a receive that is cut off, and then nobody
	// gives them back. It ends by itself, soon after ctx.
	later, cut := outlasting(ctx, cutAfter)
	defer cut()
	for try := 1; ; try++ {
		ds, err := s.source.Receive(later, most, emptyWait)
		if err == nil || len(ds) > 0 {
			return ds, nil // one that came damaged comes again
		}
		if !again(ctx, try, err) {
			return nil, Ended(ctx, err)
		}
	}
}

// Hold keeps letters out of sight until the scan is over.
func (s *Scan) Hold(ctx context.Context, ds []drivers.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	es := make([]drivers.Extension, len(ds))
	for i, d := range ds {
		es[i] = drivers.Extension{Receipt: d.Receipt, By: s.Lease()}
		if s.caps.Ordered && d.Message.Group != "" {
			s.Hidden = true
		}
	}
	asked := time.Now()
	for i, err := range Each(ctx, es, s.caps.MaxExtend, AnyOrder, s.source.Extend) {
		switch {
		case err == nil:
			s.held[ds[i].Message.ID] = grip{ds[i].Receipt, asked.Add(s.Lease())}
		case drivers.CodeOf(err) == drivers.LeaseLost:
			// It is redelivered, and held then.
			s.held[ds[i].Message.ID] = grip{ds[i].Receipt, asked}
		default:
			return Ended(ctx, fmt.Errorf("extend the leases of letters: %w", err))
		}
	}
	return nil
}

// Lease is how long a lease is that the scan extends.
func (s *Scan) Lease() time.Duration { return min(s.hold, s.caps.MaxExtension) }

// Renew extends the lease of one letter that the scan has returned, and reports a lease
// that is lost.
func (s *Scan) Renew(ctx context.Context, d drivers.Delivery) error {
	es := []drivers.Extension{{Receipt: d.Receipt, By: s.Lease()}}
	asked := time.Now()
	err := errors.Join(Each(ctx, es, 1, AnyOrder, s.source.Extend)...)
	if err == nil {
		s.held[d.Message.ID] = grip{d.Receipt, asked.Add(s.Lease())}
	}
	return err
}

// Delete removes letters from the dead-letter queue and returns an error a letter. It does
// so even if ctx has ended: their copies are elsewhere. The caller must have done with
// them what makes them superfluous. Those that could not be deleted are released when
// the scan ends.
func (s *Scan) Delete(ctx context.Context, ds []drivers.Delivery) []error {
	ss := make([]drivers.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}
		if newer, ok := s.held[d.Message.ID]; ok { // it came again
			ss[i].Receipt = newer.receipt
		}
	}
	fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), SettleTime)
	defer cancel()
	errs := Each(fresh, ss, s.caps.MaxSettle, AnyOrder, s.source.Settle)
	for i, err := range errs {
		if err == nil {
			delete(s.held, ds[i].Message.ID)
		}
	}
	return errs
}

// GiveBack makes the letters that are held visible again, even if ctx has ended. Letters
// that are not released in time become visible by themselves, after the hold. One whose hold
// is over may be another's by now: on a standard SQS queue an old receipt would take it from
// its holder.
func (s *Scan) GiveBack(ctx context.Context) error {
	most := min(SettleTime+time.Duration(len(s.held))*10*time.Millisecond, mostGiveBack)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	now := time.Now()
	maps.DeleteFunc(s.held, func(_ string, g grip) bool { return g.over(now) })
	ids := slices.Collect(maps.Keys(s.held))
	ss := make([]drivers.Settlement, len(ids))
	for i, id := range ids {
		ss[i] = drivers.Settlement{Receipt: s.held[id].receipt, Action: handler.ActionRetry, Delayed: true, Released: true}
	}
	var failure error
	for i, err := range Each(ctx, ss, s.caps.MaxSettle, AnyOrder, s.source.Settle) {
		if err == nil || drivers.CodeOf(err) == drivers.LeaseLost {
			delete(s.held, ids[i])
		} else {
			failure = err
		}
	}
	if failure != nil {
		return fmt.Errorf("letters that were looked at stay invisible for up to %v: %w", s.hold, failure)
	}
	return nil
}
