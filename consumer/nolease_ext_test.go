package consumer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// undelayed delivers one message again each time that it is given back, without
// a lease and without delays.
type undelayed struct {
	mu      sync.Mutex
	settled []drivers.Settlement
	ready   chan struct{}
}

func (l *undelayed) Receive(ctx context.Context, _ int, wait time.Duration) ([]drivers.Delivery, error) {
	select {
	case <-l.ready:
		return []drivers.Delivery{{Message: &handler.Message{ID: "1"}, Receipt: "r"}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(wait):
		return nil, nil
	}
}

func (l *undelayed) Settle(_ context.Context, ss []drivers.Settlement) []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = append(l.settled, ss...)
	if ss[0].Action == handler.ActionRetry {
		l.ready <- struct{}{}
	}
	return nil
}

func (*undelayed) Extend(context.Context, []drivers.Extension) []error {
	return []error{drivers.ErrUnsupported}
}

func (*undelayed) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Queue: "q", MaxReceive: 1, MaxSettle: 1, MaxExtend: 1, MaxSend: 1}
}

func (*undelayed) Close() error { return nil }

func TestASourceWithoutLeasesAndDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &undelayed{ready: make(chan struct{}, 1)}
		q.ready <- struct{}{}
		runs := 0
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			runs++
			require.Zero(t, m.Lease().Deadline())
			require.ErrorIs(t, m.Lease().Extend(ctx, time.Minute), handler.ErrNoLease)
			_, err := m.Lease().Keep(handler.KeepOptions{})
			require.ErrorIs(t, err, handler.ErrNoLease)
			require.Zero(t, m.Origin().MaxDelay)
			<-time.After(3 * time.Hour) // no deadline cancels it
			require.NoError(t, ctx.Err())
			if runs < 3 {
				return handler.RetryAfter(time.Minute, errors.New("not yet"))
			}
			return nil
		}, consumer.Config{})
		pass(10 * time.Hour)
		require.NoError(t, w.stop())
		require.Equal(t, 3, runs)
		require.Len(t, q.settled, 3)
		for _, s := range q.settled[:2] {
			require.Equal(t, handler.ActionRetry, s.Action)
			require.True(t, s.Delayed)
			require.Zero(t, s.Delay, "the provider has no delays, and would refuse one")
		}
		require.Equal(t, handler.ActionAck, q.settled[2].Action)
		require.Zero(t, w.logs.count("cannot delay a retry"))
	})
}

// A queue that neither delays nor counts attempts gives a poison message back as soon as
// it is released. The consumer keeps it for the retry's delay, or for a second.
func TestAPoisonMessageOfAQueueWithoutDelays(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		runs int // in a minute
	}{
		"no delay":    {errors.New("boom"), 60},
		"a delay":     {handler.RetryAfter(20*time.Second, errors.New("boom")), 3},
		"a rejection": {handler.Reject(errors.New("boom")), 60},
		"a panic":     {nil, 60},
		"now":         {handler.RetryAfter(0, errors.New("boom")), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &undelayed{ready: make(chan struct{}, 1)}
				q.ready <- struct{}{}
				runs := 0
				w := start(t, q, func(context.Context, *handler.Message) error {
					runs++
					switch {
					case c.err == nil:
						panic("boom")
					case c.runs == 0 && runs == 100:
						return nil // it asked for no delay
					}
					return c.err
				}, consumer.Config{})
				pass(time.Minute - time.Millisecond)
				if c.runs == 0 {
					require.Equal(t, 100, runs)
				} else {
					require.InDelta(t, c.runs, runs, 1)
					require.Equal(t, 1, w.c.Stats().Parked)
				}
				began := time.Now()
				require.NoError(t, w.stop())
				require.Less(t, time.Since(began), time.Second, "a drain gives it back")
			})
		})
	}
}

// A consumer that stops keeps no message.
func TestADrainOfAQueueWithoutDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &undelayed{ready: make(chan struct{}, 1)}
		q.ready <- struct{}{}
		w := start(t, q, func(context.Context, *handler.Message) error {
			<-time.After(10 * time.Second)
			return handler.RetryAfter(time.Hour, errors.New("boom"))
		}, consumer.Config{})
		pass(time.Second)
		require.NoError(t, w.stop())
		require.Len(t, q.settled, 1)
		require.Equal(t, handler.ActionRetry, q.settled[0].Action)
		require.Equal(t, 1, w.logs.count("cannot delay a retry"))
	})
}
