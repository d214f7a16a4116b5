package heartbeat_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware/heartbeat"
)

var errBoom = errors.New("boom")

func newHeartbeat(t testing.TB, c *heartbeat.Config) handler.Middleware {
	t.Helper()
	mw, err := heartbeat.New(c)
	require.NoError(t, err)
	return mw
}

// drain delivers one message to a handler with a heartbeat.
func drain(t *testing.T, c *heartbeat.Config, h handler.HandlerFunc, q *handlertest.Config) []*handlertest.Delivery {
	t.Helper()
	queue, err := handlertest.New(handler.Chain(h, newHeartbeat(t, c)), q)
	require.NoError(t, err)
	queue.Send(&handler.Message{})
	ds, err := queue.Drain(t.Context())
	require.NoError(t, err)
	return ds
}

// slow works for a while, unless its context ends.
func slow(d time.Duration) handler.HandlerFunc {
	return func(ctx context.Context, _ *handler.Message) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func TestALongHandlerRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ds := drain(t, nil, slow(10*time.Minute+time.Second), &handlertest.Config{Lease: time.Minute})
		require.Len(t, ds, 1)
		require.Equal(t, handlertest.Acked, ds[0].Outcome)
		require.Equal(t, 20, ds[0].Extensions, "each half a minute")
	})
	synctest.Test(t, func(t *testing.T) { // the test is one of the heartbeat: without it, the message is lost each time
		queue, err := handlertest.New(slow(10*time.Minute), &handlertest.Config{Lease: time.Minute, MaxAttempts: 2})
		require.NoError(t, err)
		queue.Send(&handler.Message{})
		ds, err := queue.Drain(t.Context())
		require.NoError(t, err)
		require.Len(t, ds, 2)
		require.Equal(t, handlertest.Lost, ds[0].Outcome)
	})
}

func TestTheOptionsReachTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &heartbeat.Config{Extension: 2 * time.Minute, Fraction: 0.25, Max: time.Hour}
		ds := drain(t, c, func(_ context.Context, m *handler.Message) error {
			kept, ok := m.Lease().(*handlertest.Lease).Kept()
			require.True(t, ok)
			require.Equal(t, handler.KeepOptions{Extension: 2 * time.Minute, Fraction: 0.25, Max: time.Hour}, kept)
			return nil
		}, nil)
		require.Equal(t, handlertest.Acked, ds[0].Outcome)
	})
}

func TestMaxLetsAStuckHandlerGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &heartbeat.Config{Max: 5 * time.Minute}
		ds := drain(t, c, slow(time.Hour), &handlertest.Config{Lease: time.Minute, MaxAttempts: 1})
		require.ErrorIs(t, ds[0].Verdict.Err, handler.ErrLeaseLost)
		require.Equal(t, 6*time.Minute, ds[0].Duration)
	})
}

func TestWithoutALeaseTheHandlerRuns(t *testing.T) {
	ds := drain(t, nil, func(context.Context, *handler.Message) error { return nil }, &handlertest.Config{NoLease: true})
	require.Equal(t, handlertest.Acked, ds[0].Outcome)
}

func TestALeaseThatIsGoneIsNotWorkedOn(t *testing.T) {
	lease := handlertest.NewLease(time.Minute, handlertest.NewClock(time.Unix(0, 0)))
	lease.Lose()
	m := &handler.Message{ID: "m1"}
	m.Bind(nil, lease)
	h := newHeartbeat(t, nil)(handler.HandlerFunc(func(context.Context, *handler.Message) error {
		t.Error("handled a message whose lease is gone")
		return nil
	}))
	err := h.Handle(t.Context(), m)
	require.ErrorIs(t, err, handler.ErrLeaseLost)
	require.ErrorContains(t, err, `"m1"`)
}

// order records what happened when.
type order struct {
	mu     sync.Mutex
	events []string
}

func (o *order) note(event string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, event)
}

// beatLease is a lease whose stop takes its time, as one that waits for an
// extension on its way does.
type beatLease struct {
	handlertest.Lease
	*order
}

func (l *beatLease) Keep(handler.KeepOptions) (func(), error) {
	l.note("keep")
	return func() {
		<-time.After(time.Second)
		l.note("stopped")
	}, nil
}

func TestTheBeatIsOverBeforeTheVerdictGoesOn(t *testing.T) {
	for name, h := range map[string]handler.HandlerFunc{
		"returns": func(context.Context, *handler.Message) error { return errBoom },
		"panics":  func(context.Context, *handler.Message) error { panic(errBoom) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &order{}
				m := &handler.Message{}
				m.Bind(nil, &beatLease{order: o})
				settle := func(next handler.Handler) handler.Handler {
					return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) (err error) {
						defer func() {
							o.note("settle")
							if v := recover(); v != nil {
								err = v.(error)
							}
						}()
						return next.Handle(ctx, m)
					})
				}
				require.ErrorIs(t, handler.Chain(h, settle, newHeartbeat(t, nil)).Handle(t.Context(), m), errBoom)
				require.Equal(t, []string{"keep", "stopped", "settle"}, o.events)
			})
		})
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	_, err := heartbeat.New(&heartbeat.Config{Extension: -1, Fraction: 1, Max: -1})
	require.ErrorContains(t, err, "Extension")
	require.ErrorContains(t, err, "Fraction")
	require.ErrorContains(t, err, "Max")
	_, err = heartbeat.New(&heartbeat.Config{Fraction: math.NaN()})
	require.ErrorContains(t, err, "Fraction")
}

type freeLease struct{ handlertest.Lease }

func (*freeLease) Keep(handler.KeepOptions) (func(), error) { return func() {}, nil }

func BenchmarkHeartbeat(b *testing.B) {
	h := newHeartbeat(b, nil)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	for name, lease := range map[string]handler.Lease{"lease": &freeLease{}, "no lease": nil} {
		m := &handler.Message{}
		m.Bind(nil, lease)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = h.Handle(context.Background(), m)
			}
		})
	}
}
