// Package gocloud presents a Sluice queue as a gocloud.dev topic and subscription,
// to programs that are written for gocloud's pubsub. [NewTopic] returns a
// *pubsub.Topic that sends to a [drivers.Sink], and [NewSubscription] a
// *pubsub.Subscription that receives from a [drivers.Source]. Package drivers/cloud
// is the reverse.
//
// Metadata are the message's attributes, and gocloud's LoggableID its ID. An ack
// acks; a nack gives the message back immediately. Message.As, and the As of
// BeforeSend, take a **handler.Message, for the attempt, the group, the dedupe ID
// and the delay.
//
// gocloud does not extend leases: the queue delivers a message again when its lease
// ends, even if its handler is still running. gocloud also fetches ahead. Choose a
// long lease. Errors have gocloud's codes; errors.As finds the *drivers.Error in
// them.
package gocloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gocloud.dev/gcerrors"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/batcher"
	"gocloud.dev/pubsub/driver"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// receiveWait is how long a receive waits: gocloud asks for about a second.
const receiveWait = time.Second

// NewTopic returns a topic that sends to sink. Its Shutdown closes sink.
func NewTopic(sink drivers.Sink) *pubsub.Topic {
	// gocloud has one error for a batch: only in batches of one is it the message's.
	return pubsub.NewTopic(newTopic(sink), &batcher.Options{MaxBatchSize: 1, MaxHandlers: 100})
}

// NewSubscription returns a subscription that receives from source. Its Shutdown
// closes source.
func NewSubscription(source drivers.Source) *pubsub.Subscription {
	c := source.Capabilities()
	return pubsub.NewSubscription(newSubscription(source),
		&batcher.Options{MaxBatchSize: max(c.MaxReceive, 1), MaxHandlers: 10},
		&batcher.Options{MaxBatchSize: max(c.MaxSettle, 1), MaxHandlers: 10})
}

type topic struct {
	mapping
	sink drivers.Sink
}

func newTopic(sink drivers.Sink) driver.Topic { return &topic{sink: sink} }

// SendBatch implements driver.Topic.
func (t *topic) SendBatch(ctx context.Context, dms []*driver.Message) error {
	for batch := range slices.Chunk(dms, max(t.sink.Capabilities().MaxSend, 1)) {
		ms := make([]*handler.Message, len(batch))
		for i, dm := range batch {
			ms[i] = &handler.Message{Body: dm.Body, Attributes: dm.Metadata}
			if dm.BeforeSend != nil {
				if err := dm.BeforeSend(asMessage(ms[i])); err != nil {
					return err
				}
			}
		}
		// gocloud has one error for a batch, and gives it to each message's sender.
		if err := errors.Join(t.sink.Send(ctx, ms)...); err != nil {
			return err
		}
		for i, dm := range batch {
			if dm.AfterSend != nil {
				if err := dm.AfterSend(asMessage(ms[i])); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func asMessage(m *handler.Message) func(any) bool {
	return func(i any) bool {
		p, ok := i.(**handler.Message)
		if ok {
			*p = m
		}
		return ok
	}
}

// As implements driver.Topic for a *drivers.Sink.
func (t *topic) As(i any) bool {
	p, ok := i.(*drivers.Sink)
	if ok {
		*p = t.sink
	}
	return ok
}

// Close implements driver.Topic.
func (t *topic) Close() error { return t.sink.Close() }

type subscription struct {
	mapping
	source drivers.Source
}

func newSubscription(source drivers.Source) driver.Subscription { return &subscription{source: source} }

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

// An ackID identifies a delivery to settle.
type ackID struct {
	receipt string
	message *handler.Message
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
				return &drivers.Error{Code: drivers.Invalid, Op: "settle", Err: fmt.Errorf("an ack ID of the type %T is not this subscription's", id)}
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

// A mapping maps errors, for topics and subscriptions.
type mapping struct{}

// IsRetryable implements driver.Topic and driver.Subscription.
func (mapping) IsRetryable(err error) bool {
	c := drivers.CodeOf(err)
	return c == drivers.Transient || c == drivers.Throttled
}

// ErrorAs implements driver.Topic and driver.Subscription for a **drivers.Error.
func (mapping) ErrorAs(err error, i any) bool {
	p, ok := i.(**drivers.Error)
	if !ok {
		return false
	}
	e, found := invoke.As[*drivers.Error](err)
	if found {
		*p = e
	}
	return found
}

// codes maps the port's codes to gocloud's.
var codes = map[drivers.Code]gcerrors.ErrorCode{
	drivers.Transient:   gcerrors.Internal,
	drivers.Throttled:   gcerrors.ResourceExhausted,
	drivers.NotFound:    gcerrors.NotFound,
	drivers.Denied:      gcerrors.PermissionDenied,
	drivers.Invalid:     gcerrors.InvalidArgument,
	drivers.LeaseLost:   gcerrors.FailedPrecondition,
	drivers.Unsupported: gcerrors.Unimplemented,
	drivers.Closed:      gcerrors.FailedPrecondition,
}

// ErrorCode implements driver.Topic and driver.Subscription.
func (mapping) ErrorCode(err error) gcerrors.ErrorCode {
	if c, ok := codes[drivers.CodeOf(err)]; ok {
		return c
	}
	return gcerrors.Unknown
}
