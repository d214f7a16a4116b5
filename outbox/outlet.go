package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/producer"
)

// An outlet is a relay's way to one queue. It opens the queue at the first row, and again
// at the next row if that failed.
type outlet struct {
	queue  string
	turn   chan struct{} // held while p is opened or read
	p      *producer.Producer
	failed seldom.Event
}

// report logs that a row could not be sent, once a minute. No limit of attempts ends a row,
// and none of its group is sent before it, so that someone has to learn of it.
func (o *outlet) report(ctx context.Context, log *slog.Logger, row *row, attempt int, err error) {
	missed, ok := o.failed.Allow(time.Now(), time.Minute)
	if !ok {
		return
	}
	level, text := slog.LevelWarn, "a message of the outbox could not be sent: it is tried again"
	if drivers.CodeOf(err) == drivers.Invalid {
		level, text = slog.LevelError, "the queue refuses a message of the outbox, and will again: change or delete its row"
	}
	log.LogAttrs(ctx, level, text, slog.String("queue", row.queue), slog.String("id", row.id), slog.Int("attempt", attempt),
		slog.Any("error", invoke.Safe(err)), slog.Int("not_logged", missed))
}

// producer returns the queue's producer.
func (o *outlet) producer(ctx context.Context, r *Relay) (*producer.Producer, error) {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-o.turn }()
	if o.p != nil {
		return o.p, nil
	}
	p, err := open(ctx, r, o.queue)
	if err != nil {
		return nil, fmt.Errorf("outbox: open queue %q: %w", o.queue, err)
	}
	o.p = p
	return p, nil
}

func open(ctx context.Context, r *Relay, queue string) (p *producer.Producer, err error) {
	if fault := invoke.Do(func() {
		sink, e := r.c.Open(ctx, queue)
		if e == nil && sink == nil {
			e = errors.New("Open returned no sink")
		}
		if err = e; err != nil {
			return
		}
		c := setting.Copy(r.c.Producer)
		c.RetryFor = -1
		if c.Logger == nil {
			c.Logger = r.c.Logger
		}
		if p, err = producer.New(sink, &c); err != nil {
			err = errors.Join(err, sink.Close())
		}
	}); fault != nil {
		return nil, fault
	}
	return p, err
}

func (o *outlet) close() error {
	if o.p == nil {
		return nil
	}
	return o.p.Close()
}

// clean returns text that every database can store.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "")
}
