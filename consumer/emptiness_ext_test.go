package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func TestUntilEmptyEndsSoonAfterTheLastMessage(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(n)
			began := time.Now()
			w := start(t, q, ack, consumer.Config{UntilEmpty: true, Concurrency: 32})
			require.NoError(t, <-w.done)
			require.EqualValues(t, n, w.c.Stats().Acked)
			require.Less(t, time.Since(began), 3*time.Second)
			require.Equal(t, 1, q.closed)
		})
	}
}

func TestUntilEmptyWaitsForRetriesAndForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		// One is in another consumer's hands, and comes back.
		other, err := q.Receive(t.Context(), 1, 0)
		require.NoError(t, err)
		require.Len(t, other, 1)
		began := time.Now()
		w := start(t, q, func(_ context.Context, m *handler.Message) error {
			switch {
			case m.ID == "m2" && m.Attempt == 1:
				return handler.RetryAfter(5*time.Minute, nil)
			case m.ID == "m3" && m.Attempt == 1:
				return errors.New("the queue's own policy")
			}
			return nil
		}, consumer.Config{UntilEmpty: true})
		require.NoError(t, <-w.done)
		require.EqualValues(t, 3, w.c.Stats().Acked)
		require.InDelta(t, 5*60+1, time.Since(began).Seconds(), 2)
	})
}

func TestUntilEmptyWaitsForSlowHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(10*time.Minute)), consumer.Config{UntilEmpty: true})
		require.NoError(t, <-w.done)
		require.EqualValues(t, 1, w.c.Stats().Acked)
	})
}

func TestUntilEmptyWhereTheDepthIsNotKnown(t *testing.T) {
	for _, c := range []struct {
		name string
		q    func(*queue) drivers.Source
	}{
		{"unknown", func(q *queue) drivers.Source { q.unknownDepth = true; return q }},
		{"no inspector", func(q *queue) drivers.Source { return blind{q} }},
		{"denied", func(q *queue) drivers.Source { return denied{q} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(3)
				began := time.Now()
				w := start(t, c.q(q), func(_ context.Context, m *handler.Message) error {
					if m.ID == "m2" && m.Attempt == 1 {
						return handler.RetryAfter(time.Minute, nil)
					}
					if m.ID == "m3" && m.Attempt == 1 {
						return errors.New("the queue's own policy")
					}
					return nil
				}, consumer.Config{UntilEmpty: true})
				require.NoError(t, <-w.done)
				require.EqualValues(t, 3, w.c.Stats().Acked, "it waits for the retries that it caused")
				require.Less(t, time.Since(began), 70*time.Second)
			})
		})
	}
}

type blind struct{ drivers.Source }

type denied struct{ *queue }

func (denied) Depth(context.Context) (drivers.Depth, error) {
	return drivers.Depth{}, fault(drivers.Denied)
}

func TestUntilEmptyDoesNotWaitForEverForWhatOthersTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.unknownDepth = true
		began := time.Now()
		w := start(t, q, func(context.Context, *handler.Message) error { return handler.RetryAfter(time.Minute, nil) },
			consumer.Config{UntilEmpty: true})
		pass(30 * time.Second)
		q.locked(func() { q.hidden = nil }) // another consumer got it
		require.NoError(t, <-w.done)
		require.Less(t, time.Since(began), 2*time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		// The provider dead-letters it: it was the last attempt.
		q := newQueue(1)
		q.unknownDepth = true
		q.caps.MaxAttempts = 1
		began := time.Now()
		w := start(t, q, func(context.Context, *handler.Message) error {
			q.locked(func() { q.flying = map[string]*entry{} })
			return errors.New("x")
		}, consumer.Config{UntilEmpty: true})
		require.NoError(t, <-w.done)
		require.Less(t, time.Since(began), 10*time.Second)
	})
}

func TestUntilEmptyOfSeveralQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newQueue(10), newQueue(0)
		time.AfterFunc(500*time.Millisecond, func() { b.add(5, "") })
		w := startAll(t, []consumer.Weighted{{Source: a}, {Source: b}}, ack, consumer.Config{UntilEmpty: true})
		require.NoError(t, <-w.done)
		require.EqualValues(t, 15, w.c.Stats().Acked)
		require.Equal(t, 1, a.closed)
		require.Equal(t, 1, b.closed)
	})
}
