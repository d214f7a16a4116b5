package handlertest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
)

var errBoom = errors.New("boom")

func newQueue(t *testing.T, h handler.HandlerFunc, c *handlertest.Config) *handlertest.Queue {
	t.Helper()
	q, err := handlertest.New(h, c)
	require.NoError(t, err)
	return q
}

func TestEachVerdictHasItsOutcome(t *testing.T) {
	for _, tc := range []struct {
		name    string
		config  handlertest.Config
		err     error
		outcome handlertest.Outcome
		delay   time.Duration
		pending int
		letters int
	}{
		{name: "ack", outcome: handlertest.Acked},
		{name: "retry", err: errBoom, outcome: handlertest.Redelivered, pending: 1},
		{name: "retry by the queue's policy", config: handlertest.Config{RetryDelay: time.Minute}, err: errBoom,
			outcome: handlertest.Redelivered, delay: time.Minute, pending: 1},
		{name: "retry after", config: handlertest.Config{RetryDelay: time.Minute}, err: handler.RetryAfter(time.Second, errBoom),
			outcome: handlertest.Redelivered, delay: time.Second, pending: 1},
		{name: "retry after too long", config: handlertest.Config{MaxDelay: time.Minute}, err: handler.RetryAfter(time.Hour, nil),
			outcome: handlertest.Redelivered, delay: time.Minute, pending: 1},
		{name: "reject", err: handler.Reject(errBoom), outcome: handlertest.DeadLettered, letters: 1},
		{name: "reject without a dead-letter queue", config: handlertest.Config{NoDeadLetter: true}, err: handler.Reject(errBoom),
			outcome: handlertest.Redelivered, pending: 1},
		{name: "drop", err: handler.Drop(errBoom), outcome: handlertest.Dropped},
		{name: "last attempt", config: handlertest.Config{MaxAttempts: 1}, err: errBoom, outcome: handlertest.DeadLettered, letters: 1},
		{name: "attempts without end", config: handlertest.Config{MaxAttempts: -1}, err: errBoom,
			outcome: handlertest.Redelivered, pending: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := newQueue(t, func(context.Context, *handler.Message) error { return tc.err }, &tc.config)
			q.Send(&handler.Message{Body: []byte("x")})
			d, ok := q.Deliver(t.Context())
			require.True(t, ok)
			require.Equal(t, tc.outcome.String(), d.Outcome.String())
			require.Equal(t, tc.delay, d.Delay)
			require.Len(t, q.Pending(), tc.pending)
			require.Len(t, q.DeadLetters(), tc.letters)
			if tc.err != nil {
				require.ErrorIs(t, tc.err, d.Verdict.Err)
			}
		})
	}
}

func TestDrainRedeliversUntilDeadLettered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []int
		q := newQueue(t, func(_ context.Context, m *handler.Message) error {
			attempts = append(attempts, m.Attempt)
			m.Body[0] = '!' // a handler's change is not seen by the next delivery
			return handler.RetryAfter(time.Hour, errBoom)
		}, &handlertest.Config{MaxAttempts: 3})
		start := time.Now()
		q.Send(&handler.Message{Body: []byte("x"), Delay: time.Minute})

		ds, err := q.Drain(t.Context())
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 3}, attempts)
		require.Len(t, ds, 3)
		require.Equal(t, 2*time.Hour+time.Minute, time.Since(start))
		require.Equal(t, start.Add(time.Minute), ds[0].At)
		require.Equal(t, start.Add(time.Minute+2*time.Hour), ds[2].At)
		letters := q.DeadLetters()
		require.Len(t, letters, 1)
		require.Equal(t, "x", string(letters[0].Message.Body))
		require.False(t, letters[0].Rejected)
		require.ErrorIs(t, letters[0].Err, errBoom)
		require.Empty(t, q.Pending())
	})
}

func TestDrainMovesItsOwnClock(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := handlertest.NewClock(start)
	q := newQueue(t, func(_ context.Context, m *handler.Message) error {
		if m.Attempt < 3 {
			return handler.RetryAfter(24*time.Hour, errBoom)
		}
		return nil
	}, &handlertest.Config{Clock: clock})
	q.Send(&handler.Message{})
	require.Equal(t, start, q.Pending()[0].Due)

	ds, err := q.Drain(t.Context())
	require.NoError(t, err)
	require.Len(t, ds, 3)
	require.Equal(t, handlertest.Acked, ds[2].Outcome)
	require.Equal(t, start.Add(48*time.Hour), clock.Now())
}

func TestDeliverFindsNothingBeforeItIsDue(t *testing.T) {
	clock := handlertest.NewClock(time.Unix(0, 0))
	q := newQueue(t, func(context.Context, *handler.Message) error { return nil }, &handlertest.Config{Clock: clock})
	q.Send(&handler.Message{Delay: time.Second})
	_, ok := q.Deliver(t.Context())
	require.False(t, ok)
	clock.Advance(time.Second)
	_, ok = q.Deliver(t.Context())
	require.True(t, ok)
}

func TestMessagesCarryWhatAProviderSets(t *testing.T) {
	q := newQueue(t, func(_ context.Context, m *handler.Message) error {
		require.Equal(t, handler.Origin{Queue: "orders", System: "aws_sqs", MaxDelay: time.Hour}, m.Origin())
		require.Equal(t, 0, m.Attempt)
		require.Equal(t, "1", m.ID)
		require.False(t, m.EnqueuedAt.IsZero())
		require.Equal(t, map[string]string{"k": "v"}, m.Attributes)
		require.Equal(t, "g", m.Group)
		require.Equal(t, "d", m.DedupeID)
		require.ErrorIs(t, m.Lease().Extend(t.Context(), time.Second), handler.ErrNoLease)
		return nil
	}, &handlertest.Config{Queue: "orders", System: "aws_sqs", MaxDelay: time.Hour, HideAttempt: true, NoLease: true})
	q.Send(&handler.Message{Attributes: map[string]string{"k": "v"}, Group: "g", DedupeID: "d"})
	d, ok := q.Deliver(t.Context())
	require.True(t, ok)
	require.Equal(t, handlertest.Acked, d.Outcome)
	require.Equal(t, 1, d.Attempt)
}

func TestPanicIsARetry(t *testing.T) {
	q := newQueue(t, func(context.Context, *handler.Message) error { panic(errBoom) }, nil)
	q.Send(&handler.Message{})
	d, ok := q.Deliver(t.Context())
	require.True(t, ok)
	require.Equal(t, errBoom, d.Panic)
	require.Equal(t, handler.ActionRetry, d.Verdict.Action)
	require.Equal(t, handlertest.Redelivered, d.Outcome)
}

func TestAHandlerThatEndsItsGoroutineGivesTheMessageBack(t *testing.T) {
	gone := make(chan struct{})
	q := newQueue(t, func(context.Context, *handler.Message) error { (&testing.T{}).FailNow(); return nil }, nil)
	q.Send(&handler.Message{})
	go func() {
		defer close(gone)
		q.Deliver(context.Background())
	}()
	<-gone
	pending := q.Pending()
	require.Len(t, pending, 1)
	require.Equal(t, 2, pending[0].Attempt, "the delivery counts")
}

func TestLeaseThatRunsOutLosesTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, func(ctx context.Context, m *handler.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), handler.ErrLeaseLost)
			require.ErrorIs(t, m.Lease().Extend(context.Background(), time.Second), handler.ErrLeaseLost)
			return nil // too late to count
		}, &handlertest.Config{Lease: time.Minute})
		q.Send(&handler.Message{})
		ds, err := q.Drain(t.Context())
		require.NoError(t, err)
		require.Len(t, ds, 2)
		require.Equal(t, handlertest.Lost, ds[0].Outcome)
		require.Equal(t, time.Minute, ds[0].Duration)
		require.Equal(t, handlertest.Acked, ds[1].Outcome)
	})
}

func TestDrainRunsHandlersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		q := newQueue(t, func(context.Context, *handler.Message) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-time.After(time.Second)
			return nil
		}, &handlertest.Config{Concurrency: 4})
		start := time.Now()
		for range 8 {
			q.Send(&handler.Message{})
		}
		ds, err := q.Drain(t.Context())
		require.NoError(t, err)
		require.Len(t, ds, 8)
		require.Equal(t, int64(4), most.Load())
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour-time.Second)
		defer cancel()
		q := newQueue(t, func(context.Context, *handler.Message) error { return handler.RetryAfter(time.Minute, nil) },
			&handlertest.Config{MaxAttempts: -1, Concurrency: 3})
		q.Send(&handler.Message{})
		ds, err := q.Drain(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, ds, 60)
	})
}

type gate struct{ closed chan struct{} }

func (g *gate) Admit(want int) (int, <-chan struct{}) {
	select {
	case <-g.closed:
		return want, nil
	default:
		return 0, g.closed
	}
}

func TestDrainWaitsForGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{closed: make(chan struct{})}
		q := newQueue(t, func(context.Context, *handler.Message) error { return nil },
			&handlertest.Config{Gates: []handler.Gate{g}})
		q.Send(&handler.Message{})
		_, ok := q.Deliver(t.Context())
		require.False(t, ok)
		start := time.Now()
		time.AfterFunc(time.Hour, func() { close(g.closed) })
		ds, err := q.Drain(t.Context())
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.Equal(t, time.Hour, time.Since(start))
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	_, err := handlertest.New(nil, nil)
	require.ErrorContains(t, err, "handler is nil")
	_, err = handlertest.New(handler.HandlerFunc(nil), &handlertest.Config{Lease: -1, RetryDelay: -1, Concurrency: -1})
	require.ErrorContains(t, err, "Lease")
	require.ErrorContains(t, err, "RetryDelay")
	require.ErrorContains(t, err, "Concurrency")
}

func TestAPostponementSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, boom := errors.New("full"), errors.New("boom")
		calls := 0
		q, err := handlertest.New(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			calls++
			if calls <= 10 {
				require.Equal(t, 1, m.Attempt)
				return handler.Postpone(time.Minute, full)
			}
			return boom
		}), &handlertest.Config{MaxAttempts: 2})
		require.NoError(t, err)
		start := time.Now()
		q.Send(&handler.Message{})
		ds, err := q.Drain(t.Context())
		require.NoError(t, err)
		require.Len(t, ds, 12)
		for i, d := range ds[:10] {
			require.Equal(t, handlertest.Postponed, d.Outcome, i)
			require.Equal(t, 1, d.Attempt)
			require.Equal(t, time.Minute, d.Delay)
		}
		require.Equal(t, start.Add(10*time.Minute), ds[10].At)
		require.Equal(t, "postponed", handlertest.Postponed.String())
		letters := q.DeadLetters()
		require.Len(t, letters, 1)
		require.ErrorIs(t, letters[0].Err, boom)
		require.EqualError(t, letters[0].Err, "attempts used up: attempt 2 of 2: boom")
		require.False(t, letters[0].Rejected)
	})
}
