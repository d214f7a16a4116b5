package producer_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// depth is a drivers.Inspector whose answer a test sets.
type depth struct {
	mu    sync.Mutex
	n     int64
	err   error
	asked int
}

func (d *depth) set(n int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n, d.err = n, err
}

func (d *depth) Depth(context.Context) (drivers.Depth, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return drivers.Depth{Visible: d.n}, d.err
}

func (d *depth) Peek(context.Context, int, bool) ([]*handler.Message, error) { return nil, nil }

// null takes everything after a moment.
type null struct {
	caps     drivers.Capabilities
	requests atomic.Int64
}

func (n *null) Send(context.Context, []*handler.Message) []error {
	n.requests.Add(1)
	return nil
}
func (n *null) Capabilities() drivers.Capabilities { return n.caps }
func (n *null) Close() error                       { return nil }

func pressure(d *depth, o producer.Overload) *producer.Config {
	return &producer.Config{Pressure: &producer.Pressure{
		Inspector: d, High: 100, Low: 50, Every: time.Second, Overload: o,
		Priority: func(m *handler.Message) int { return len(m.Attributes) }, Floor: 1,
	}}
}

func TestOverloadHasHysteresis(t *testing.T) {
	d := &depth{}
	bubble(t, newSink(), pressure(d, producer.Refuse), func(t *testing.T, p *producer.Producer) {
		for _, step := range []struct {
			visible int64
			err     error
			over    bool
		}{
			{99, nil, false}, {100, nil, true}, {99, nil, true}, {51, nil, true}, {0, errors.New("throttled"), true},
			{drivers.Unknown, nil, true}, {50, nil, false}, {99, nil, false}, {200, errors.New("x"), false}, {100, nil, true},
		} {
			d.set(step.visible, step.err)
			pass(time.Second)
			require.Equal(t, step.over, p.Overloaded(), "%+v", step)
			err := p.Send(t.Context(), message("x"))
			if step.over {
				require.ErrorIs(t, err, producer.ErrOverloaded)
			} else {
				require.NoError(t, err)
			}
		}
	})
}

func TestBlockWaitsUntilTheQueueIsShallow(t *testing.T) {
	d := &depth{n: 100}
	bubble(t, newSink(), pressure(d, producer.Block), func(t *testing.T, p *producer.Producer) {
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Send(ctx, message("x"))
		require.ErrorIs(t, err, producer.ErrOverloaded)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		time.AfterFunc(10*time.Second, func() { d.set(50, nil) })
		began := time.Now()
		require.NoError(t, p.Send(t.Context(), message("x")))
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second)
		require.Less(t, time.Since(began), 12*time.Second)
	})
}

func TestShedKeepsWhatIsImportant(t *testing.T) {
	d := &depth{n: 1000}
	s := newSink()
	bubble(t, s, pressure(d, producer.Shed), func(t *testing.T, p *producer.Producer) {
		synctest.Wait()
		important := &handler.Message{Body: []byte("important"), Attributes: map[string]string{"priority": "high"}}
		err := p.Send(t.Context(), message("unimportant"), important)
		require.ErrorIs(t, err, producer.ErrOverloaded)
		require.Equal(t, []string{"important"}, s.taken)
	})
}

func TestCloseDoesNotWaitForABlockedSender(t *testing.T) {
	d := &depth{n: 100}
	bubble(t, newSink(), pressure(d, producer.Block), func(t *testing.T, p *producer.Producer) {
		synctest.Wait()
		answer := make(chan error, 1)
		go func() { answer <- p.Send(t.Context(), message("x")) }()
		synctest.Wait()
		require.NoError(t, p.Close())
		require.ErrorIs(t, <-answer, producer.ErrOverloaded)
	})
}
