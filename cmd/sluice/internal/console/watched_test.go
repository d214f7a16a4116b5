package console

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A slow source holds the answers to questions for its depth until a test gives them.
type slow struct {
	drivers.Source
	asked chan chan answer
}

type answer struct {
	depth drivers.Depth
	err   error
}

func (s *slow) Depth(context.Context) (drivers.Depth, error) {
	c := make(chan answer)
	s.asked <- c
	a := <-c
	return a.depth, a.err
}

func (s *slow) Peek(context.Context, int, bool) ([]*handler.Message, error) { return nil, nil }

// A count that began before a viewer brought letters back, and that is answered after the
// count that followed, changes nothing.
func TestALateCountDoesNotOverwriteANewerOne(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]answer{"count": {depth: drivers.Depth{DeadLetters: 5}}, "failure": {err: errors.New("timeout")}} {
		source := &slow{asked: make(chan chan answer)}
		w := &watched{queue: config.Queue{Name: "orders", Source: "fake://orders"}, source: source, c: &Config{Logger: slog.New(slog.DiscardHandler)}}
		count := func() (question chan answer, done chan struct{}) {
			done = make(chan struct{})
			go func() {
				defer close(done)
				w.count(t.Context())
			}()
			return <-source.asked, done
		}
		older, olderDone := count()
		newer, newerDone := count()
		newer <- answer{depth: drivers.Depth{Visible: 5}}
		<-newerDone
		older <- late
		<-olderDone
		depth, counted, fault := w.status()
		require.NoError(t, fault, name)
		require.Equal(t, drivers.Depth{Visible: 5}, depth, name)
		require.Len(t, w.history.all(), 1, name)
		require.Equal(t, w.history.all()[0].at, counted, name)
	}
}
