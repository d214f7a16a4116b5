package gocloud

import (
	"context"
	"errors"
	"slices"

	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/batcher"
	"gocloud.dev/pubsub/driver"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// NewTopic returns a topic that sends to sink. Its Shutdown closes sink.
func NewTopic(sink drivers.Sink) *pubsub.Topic {
	// gocloud has one error for a batch: only in batches of one is it the message's.
	return pubsub.NewTopic(newTopic(sink), &batcher.Options{MaxBatchSize: 1, MaxHandlers: 100})
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
