package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// Delayed returns a sink that sends to sink, except for messages with a delay that sink's
// queue cannot give (Pub/Sub: any; SQS: more than 15 minutes, or any on a FIFO queue).
// Those it writes into the table t for a [Relay], which opens the queue by the given name.
// They are sent when they are due, and arrive as first attempts. The returned sink owns
// sink: closing it closes sink, and leaves the table's database open.
func Delayed(sink drivers.Sink, t *Table, queue string) (drivers.Sink, error) {
	if sink == nil || t == nil {
		return nil, fmt.Errorf("outbox: the sink or the table is nil")
	}
	table, err := t.Sink(queue)
	if err != nil {
		return nil, err
	}
	d := &delayed{Sink: sink, table: table, caps: sink.Capabilities()}
	d.native = d.caps.MaxSendDelay
	d.caps.MaxSendDelay = drivers.Unlimited
	return d, nil
}

type delayed struct {
	drivers.Sink
	table  drivers.Sink
	caps   drivers.Capabilities
	native time.Duration
}

// Send sends the messages that the queue can take as they are, and writes the others. A
// delayed message takes its place in its group when it is due, so it holds back no other.
func (d *delayed) Send(ctx context.Context, ms []*handler.Message) []error {
	var now, later []*handler.Message
	for _, m := range ms {
		if m != nil && m.Delay > d.native {
			later = append(later, m)
		} else {
			now = append(now, m)
		}
	}
	if len(later) == 0 {
		return d.Sink.Send(ctx, ms)
	}
	var sent []error
	if len(now) > 0 {
		sent = d.Sink.Send(ctx, now)
	}
	written := d.table.Send(ctx, later)
	errs := make([]error, len(ms))
	take := func(from *[]error) (err error) {
		if *from != nil {
			err, *from = (*from)[0], (*from)[1:]
		}
		return err
	}
	for i, m := range ms {
		if m != nil && m.Delay > d.native {
			errs[i] = take(&written)
		} else {
			errs[i] = take(&sent)
		}
	}
	return result(errs)
}

// Capabilities returns those of the queue, with delays of any length.
func (d *delayed) Capabilities() drivers.Capabilities { return d.caps }

// Close closes both sinks.
func (d *delayed) Close() error { return errors.Join(d.Sink.Close(), d.table.Close()) }
