// Package heartbeat is the middleware that keeps a message's lease while its
// handler runs, so that a handler may take longer than the queue's visibility
// timeout (SQS) or ack deadline (Pub/Sub) without its message being delivered to
// someone else meanwhile.
//
//	beat, err := heartbeat.New(nil)
//	h := handler.Chain(transcode, beat)
//
// It does not extend leases itself: it asks the runtime to, which extends all
// leases together in batches, without a goroutine or timer for each message.
// When the handler has returned, the heartbeat stops and a pending extension
// ends before the verdict is passed on, so that the extension can neither race
// the deletion nor overwrite the delay of a retry.
//
// A delivery without a lease (AWS Lambda, HTTP push) is handled as if the
// middleware were not there: its deadline is the caller's. When a lease is lost
// all the same, the handler's context is canceled with handler.ErrLeaseLost.
//
// # Position
//
// Innermost, so that only the handler's own work is kept alive. Farther out it
// would also extend the leases of messages that idempotency or a limit is about
// to release, and stop after their verdicts: harmless, but each such message
// costs an extension. Without it a handler has one lease's length, from the
// receive, not from the handler's start.
//
// It also extends the lease of a stuck handler: set [Config.Max], or put the
// timeout middleware outside it, so that the message is eventually redelivered.
package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures the heartbeat. The zero Config keeps it at the length it
// was received with, extends it when half of that is left, for as long as the
// handler runs.
type Config struct {
	// Extension is the length that each extension gives the lease, from the
	// moment of the extension. Zero means the length it was received with. After
	// a crash of the consumer the message stays invisible for up to this long.
	Extension time.Duration

	// Fraction is the part of Extension that is left when the lease is extended,
	// between 0 and 1, both excluded. Zero means one half. A larger one costs
	// more requests and survives a longer outage of the provider.
	Fraction float64

	// Max is how long after the handler's start extensions end; the lease then
	// runs down and the handler's context is canceled. Zero means no end but
	// the provider's (SQS: 12 hours from the receive).
	Max time.Duration
}

// New returns the middleware. A nil config has the defaults.
func New(config *Config) (handler.Middleware, error) {
	c := setting.Copy(config)
	if err := errors.Join(
		setting.NotNegative("Extension", c.Extension),
		setting.Refuse(!(c.Fraction >= 0 && c.Fraction < 1), "Fraction is %v: it must be between 0 and 1, both excluded", c.Fraction),
		setting.NotNegative("Max", c.Max),
	); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	options := handler.KeepOptions{Extension: c.Extension, Fraction: c.Fraction, Max: c.Max}
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			stop, err := m.Lease().Keep(options)
			switch {
			case invoke.Is(err, handler.ErrNoLease):
				return next.Handle(ctx, m)
			case err != nil:
				// The lease is gone before the work has begun: it would be done
				// twice.
				stop()
				return handler.Postpone(0, fmt.Errorf("message %q was not handled: keep its lease: %w", m.ID, err))
			}
			defer stop()
			return next.Handle(ctx, m)
		})
	}, nil
}
