package service

import (
	"context"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/job"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/producer"
)

// A jobTable is the producer of a queue, and the table whose relay sends to the queue.
type jobTable struct {
	*producer.Producer
	table   *outbox.Table
	queue   string
	prepare []func(ctx context.Context, m *handler.Message) error
}

var _ job.Table = (*jobTable)(nil)

// SendTx implements [job.Table].
func (t *jobTable) SendTx(ctx context.Context, tx job.Tx, ms ...*handler.Message) error {
	if err := t.prepared(ctx, ms...); err != nil {
		return err
	}
	return t.table.Send(ctx, tx, t.queue, ms...)
}

// SendUnique implements [job.Table].
func (t *jobTable) SendUnique(ctx context.Context, tx job.Tx, key string, m *handler.Message) (bool, error) {
	if err := t.prepared(ctx, m); err != nil {
		return false, err
	}
	return t.table.SendUnique(ctx, tx, t.queue, key, m)
}

// Debounce implements [job.Table].
func (t *jobTable) Debounce(ctx context.Context, tx job.Tx, key string, m *handler.Message) (bool, error) {
	if err := t.prepared(ctx, m); err != nil {
		return false, err
	}
	return t.table.Debounce(ctx, tx, t.queue, key, m)
}

// prepared calls the program's functions on messages. The client has made them for this
// call, so that they may be changed.
func (t *jobTable) prepared(ctx context.Context, ms ...*handler.Message) error {
	for _, m := range ms {
		for _, f := range t.prepare {
			var err error
			if fault := invoke.Do(func() { err = f(ctx, m) }); fault != nil {
				return fault
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
