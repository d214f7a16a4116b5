package gocloud

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/batcher"
	"gocloud.dev/pubsub/driver"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// receiveWait is how long a receive waits: gocloud asks for about a second.
const receiveWait = time.Second

// NewSubscription returns a subscription that receives from source. Its Shutdown
// closes source.
func NewSubscription(source drivers.Source) *pubsub.Subscription {
	c := source.Capabilities()
	return pubsub.NewSubscription(newSubscription(source),
		&batcher.Options{MaxBatchSize: max(c.MaxReceive, 1), MaxHandlers: 10},
		&batcher.Options{MaxBatchSize: max(c.MaxSettle, 1), MaxHandlers: 10})
}

type subscription struct {
	mapping
	source drivers.Source
}

func newSubscription(source drivers.Source) driver.Subscription { return &subscription{source: source} }

// An ackID identifies a delivery to settle.
type ackID struct {
	receipt string
	message *handler.Message
}

// ReceiveBatch implements driver.Subscription.
func (s *subscription) ReceiveBatch(ctx context.Context, n int) ([]*driver.Message, error) {
	ds, err := s.source.Receive(ctx, min(n, max(s.source.Capabilities().MaxReceive, 1)), receiveWait)
	if err != nil && len(ds) == 0 { // with messages, the error is about others, which come again
		return nil, err
	}
	dms := make([]*driver.Message, len(ds))
	for i, d := range ds {
		dms[i] = &driver.Message{
			LoggableID: d.Message.ID, Body: d.Message.Body, Metadata: d.Message.Attributes,
			AckID: ackID{d.Receipt, d.Message}, AsFunc: asMessage(d.Message),
		}
	}
	return dms, nil
}

// SendAcks implements driver.Subscription.
func (s *subscription) SendAcks(ctx context.Context, ids []driver.AckID) error {
	return s.settle(ctx, ids, drivers.Settlement{Action: handler.ActionAck})
}

// CanNack implements driver.Subscription.
func (*subscription) CanNack() bool { return true }

// SendNacks implements driver.Subscription.
func (s *subscription) SendNacks(ctx context.Context, ids []driver.AckID) error {
	return s.settle(ctx, ids, drivers.Settlement{Action: handler.ActionRetry, Delayed: true})
}

func (s *subscription) settle(ctx context.Context, ids []driver.AckID, how drivers.Settlement) error {
	for batch := range slices.Chunk(ids, max(s.source.Capabilities().MaxSettle, 1)) {
		ss := make([]drivers.Settlement, len(batch))
		for i, id := range batch {
			a, ok := id.(ackID)
			if !ok {
				return &drivers.Error{Code: drivers.Invalid, Op: "settle", Err: fmt.Errorf("the ack ID has type %T and does not belong to this subscription", id)}
			}
			ss[i] = how
			ss[i].Receipt, ss[i].Message = a.receipt, a.message
		}
		for _, err := range s.source.Settle(ctx, ss) {
			// A lease that is lost, or that an earlier ack has ended, is not an error
			// of the subscription: returning one would make it fail for good.
			if err != nil && !invoke.Is(err, drivers.ErrLeaseLost) {
				return err
			}
		}
	}
	return nil
}

// As implements driver.Subscription for a *drivers.Source.
func (s *subscription) As(i any) bool {
	p, ok := i.(*drivers.Source)
	if ok {
		*p = s.source
	}
	return ok
}

// Close implements driver.Subscription.
func (s *subscription) Close() error { return s.source.Close() }
