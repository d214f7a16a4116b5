package sqstest

import (
	"errors"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// probe is the lease that deleting sets on a FIFO delivery first, to find out
// whether its own has ended.
const probe = 30 * time.Second

// settleActions delete messages and change their visibility.
type settleActions struct{ *registry }

func (s *settleActions) deleteMessage(c *call, q *deliveryRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	return s.delete(c, found, []delivery{q.delivery})[0]
}

func (s *settleActions) deleteMessageBatch(c *call, q *deliveryBatchRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	id := func(i int) string { return q.Entries[i].ID }
	if err := checkEntries("DeleteMessage", len(q.Entries), id); err != nil {
		return err
	}
	writeBatch(c, len(q.Entries), id, s.delete(c, found, q.Entries), nil)
	return nil
}

// delete deletes deliveries. On a standard queue an invalid receipt deletes
// nothing and is not an error; on a FIFO queue a receipt is an error after the
// end of its lease, unless the message is gone.
func (s *settleActions) delete(c *call, q *settings, ds []delivery) []*apiError {
	errs, handles, place := handles(c, q, ds)
	if len(handles) == 0 {
		return errs
	}
	if q.fifo {
		changes := make([]queue.Change, len(handles))
		for i, h := range handles {
			changes[i] = queue.Change{Receipt: h, By: probe}
		}
		kept := handles[:0]
		places := place[:0]
		for i, err := range itemErrors(len(handles), s.engine.Change(c.ctx, q.name, changes)) {
			if err == nil {
				kept, places = append(kept, handles[i]), append(places, place[i])
				continue
			}
			if errors.Is(err, queue.ErrGone) {
				continue
			}
			errs[place[i]] = s.expired(q, ds[place[i]].ReceiptHandle, err)
		}
		if handles, place = kept, places; len(handles) == 0 {
			return errs
		}
	}
	for i, err := range itemErrors(len(handles), s.engine.Delete(c.ctx, q.name, handles)) {
		switch {
		case err == nil:
		case !errors.Is(err, queue.ErrReceipt):
			errs[place[i]] = s.gone(q.name, err)
		case q.fifo:
			errs[place[i]] = s.expired(q, ds[place[i]].ReceiptHandle, err)
		}
	}
	return errs
}

func (s *settleActions) expired(q *settings, handle string, err error) *apiError {
	if !errors.Is(err, queue.ErrReceipt) {
		return s.gone(q.name, err)
	}
	return invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handle)
}

// handles decodes receipt handles. place has the index of an engine's receipt among
// ds; errs has the others' errors and those that faults give.
func handles(c *call, q *settings, ds []delivery) (errs []*apiError, receipts []string, place []int) {
	errs = make([]*apiError, len(ds))
	receipts = make([]string, 0, len(ds))
	place = make([]int, 0, len(ds))
	for i := range ds {
		if errs[i] = c.effects.entryError(ds[i].ID); errs[i] != nil {
			continue
		}
		h, err := receiptFor(q.name, ds[i].ReceiptHandle)
		if errs[i] = err; err == nil {
			receipts, place = append(receipts, h.engine), append(place, i)
		}
	}
	return errs, receipts, place
}

// itemErrors gives every one of n items its error; the engine returns nil where
// all is well.
func itemErrors(n int, errs []error) []error {
	if len(errs) == n {
		return errs
	}
	return make([]error, n)
}

func checkVisibility(seconds int) *apiError {
	if seconds < 0 || seconds > maxVisibilitySeconds {
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and %d.", seconds, maxVisibilitySeconds)
	}
	return nil
}

func (s *settleActions) changeMessageVisibility(c *call, q *deliveryRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	return s.changeVisibility(c, found, []delivery{q.delivery})[0]
}

func (s *settleActions) changeMessageVisibilityBatch(c *call, q *deliveryBatchRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	id := func(i int) string { return q.Entries[i].ID }
	if err := checkEntries("ChangeMessageVisibility", len(q.Entries), id); err != nil {
		return err
	}
	writeBatch(c, len(q.Entries), id, s.changeVisibility(c, found, q.Entries), nil)
	return nil
}

// changeVisibility sets leases, each of which may last until twelve hours after
// the receive.
func (s *settleActions) changeVisibility(c *call, q *settings, ds []delivery) []*apiError {
	errs := make([]*apiError, len(ds))
	changes := make([]queue.Change, 0, len(ds))
	place := make([]int, 0, len(ds))
	now := s.cfg.Clock.Now()
	for i := range ds {
		if errs[i] = c.effects.entryError(ds[i].ID); errs[i] != nil {
			continue
		}
		h, err := receiptFor(q.name, ds[i].ReceiptHandle)
		if errs[i] = err; err != nil {
			continue
		}
		if ds[i].VisibilityTimeout == nil {
			errs[i] = missing("VisibilityTimeout")
			continue
		}
		seconds := int(*ds[i].VisibilityTimeout)
		if errs[i] = checkVisibility(seconds); errs[i] != nil {
			continue
		}
		lease := time.Duration(seconds) * time.Second
		if now.Sub(h.received)+lease > maxVisibilitySeconds*time.Second {
			errs[i] = invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [%d seconds].", seconds, maxVisibilitySeconds)
			continue
		}
		changes, place = append(changes, queue.Change{Receipt: h.engine, By: lease}), append(place, i)
	}
	if len(changes) == 0 {
		return errs
	}
	for i, err := range itemErrors(len(changes), s.engine.Change(c.ctx, q.name, changes)) {
		switch {
		case err == nil:
		case errors.Is(err, queue.ErrReceipt):
			errs[place[i]] = invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", ds[place[i]].ReceiptHandle)
		default:
			errs[place[i]] = s.gone(q.name, err)
		}
	}
	return errs
}
