package outbox_test

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/outbox"
)

// A table keeps the rules of every queue.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, d := range all {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			_, table := open(t, d)
			drivertest.Run(t, &drivertest.Harness{
				Server:   "outbox on " + d.String(),
				Parallel: map[outbox.Dialect]int{outbox.SQLite: 4}[d], // one writer
				NewQueue: func(_ context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
					if o.DeadLetter || o.Dedupe {
						return nil, drivers.ErrUnsupported
					}
					name := "conf-" + rand.Text()
					return &drivertest.Queue{
						OpenSource: func(context.Context) (drivers.Source, error) {
							return table.Source(&outbox.SourceConfig{Queues: []string{name}, Lease: o.Lease})
						},
						OpenSink: func(context.Context) (drivers.Sink, error) { return table.Sink(name) },
					}, nil
				},
			})
		})
	}
}
