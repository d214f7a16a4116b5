package service

import (
	"context"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

// WatchDepth has t report the depth of the queue of source until stop is called, which is
// before source is closed. It does nothing if the driver cannot count.
func WatchDepth(t *otel.Telemetry, source drivers.Source) (stop func() error, err error) {
	inspector, ok := source.(drivers.Inspector)
	if !ok {
		return func() error { return nil }, nil
	}
	return t.WatchDepth(origin(source.Capabilities()), func(ctx context.Context) (otel.Depth, error) {
		d, err := drivers.ReadDepth(ctx, inspector)
		out := otel.Depth{
			Visible: d.Visible, InFlight: d.InFlight, Delayed: d.Delayed, DeadLetters: d.DeadLetters,
			OldestAge: d.OldestAge, LetterAge: d.LetterAge, LetterRetention: d.LetterRetention,
		}
		if d.LetterAge == 0 && d.DeadLetters > 0 {
			out.LetterAge = -1
		}
		return out, err
	})
}

// origin is the queue of a source, as telemetry names it.
func origin(c drivers.Capabilities) handler.Origin {
	return handler.Origin{Queue: c.Queue, System: c.System, Server: c.Server}
}
