package producer_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// hanging is a sink whose Send does not heed its context.
type hanging struct {
	drivers.Sink
	end chan struct{}
}

func (s *hanging) Send(_ context.Context, ms []*handler.Message) []error {
	<-s.end
	for _, m := range ms {
		m.ID = "late"
	}
	return nil
}

// A Send hook, or a sink, that hangs beyond its context's end holds up neither Send
// nor Close for ever.
func TestARequestThatHangsIsLeftBehind(t *testing.T) {
	for _, what := range []string{"hook", "sink"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &hanging{Sink: newSink(), end: make(chan struct{})}
				c := &producer.Config{Logger: slog.New(slog.DiscardHandler), RequestTimeout: 5 * time.Second}
				sink := drivers.Sink(s)
				if what == "hook" {
					sink = newSink()
					c.Send = func(ctx context.Context, ms []*handler.Message, _ func(context.Context, []*handler.Message) []error) []error {
						return s.Send(ctx, ms)
					}
				}
				p, err := producer.New(sink, c)
				require.NoError(t, err)
				began := time.Now()
				require.ErrorIs(t, p.Send(t.Context(), message("a")), producer.ErrUnknown)
				require.Less(t, time.Since(began), 10*time.Second)

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorIs(t, p.Send(ctx, message("b")), context.DeadlineExceeded)
				began = time.Now()
				require.NoError(t, p.Close())
				require.Less(t, time.Since(began), 10*time.Second)
				close(s.end) // what was left behind ends
			})
		})
	}
}
