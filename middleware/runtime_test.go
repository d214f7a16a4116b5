package middleware_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/breaker"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

// queue is a source that counts how often each message is received.
type queue struct {
	mu       sync.Mutex
	messages []*queued
	changed  chan struct{}
}

type queued struct {
	attempts int
	visible  time.Time
	end      handler.Action // Ack, DeadLetter or Drop once it is done with
}

const queueLease = 30 * time.Second

func newQueue(n int) *queue {
	q := &queue{changed: make(chan struct{})}
	for range n {
		q.messages = append(q.messages, &queued{visible: time.Now()})
	}
	return q
}

func (q *queue) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	limit := time.After(wait)
	for {
		ds, next, changed := q.take(most)
		if len(ds) > 0 {
			return ds, nil
		}
		select {
		case <-changed:
		case <-time.After(next):
		case <-limit:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns what is visible, or in how long something may be.
func (q *queue) take(most int) (ds []drivers.Delivery, next time.Duration, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	next = time.Hour
	for i, m := range q.messages {
		if m.end != handler.ActionRetry {
			continue
		}
		if m.visible.After(now) {
			next = min(next, m.visible.Sub(now))
			continue
		}
		if len(ds) < most {
			m.attempts++
			m.visible = now.Add(queueLease)
			ds = append(ds, drivers.Delivery{
				Message:  &handler.Message{ID: strconv.Itoa(i), Attempt: m.attempts},
				Receipt:  strconv.Itoa(i),
				Deadline: m.visible,
			})
		}
	}
	return ds, next, q.changed
}

func (q *queue) Settle(_ context.Context, ss []drivers.Settlement) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	errs := make([]error, len(ss))
	for n, s := range ss {
		i, err := strconv.Atoi(s.Receipt)
		if err != nil {
			errs[n] = err
			continue
		}
		m := q.messages[i]
		if m.end = s.Action; s.Delayed {
			m.visible = time.Now().Add(s.Delay)
		}
	}
	close(q.changed)
	q.changed = make(chan struct{})
	return errs
}

func (q *queue) Extend(_ context.Context, es []drivers.Extension) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range es {
		if i, err := strconv.Atoi(e.Receipt); err == nil {
			q.messages[i].visible = time.Now().Add(e.By)
		}
	}
	return nil
}

func (q *queue) Close() error { return nil }

func (q *queue) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{
		Queue: "orders", System: "sluice_mem", MaxReceive: 10, MaxSettle: 10, MaxExtend: 10, MaxSend: 10,
		Lease: queueLease, DeadLetter: true,
		MaxDelay: drivers.Unlimited, MaxExtension: drivers.Unlimited, MaxLease: drivers.Unlimited,
	}
}

// result is how often messages were received and how they ended.
type result struct {
	received, most int
	ends           map[handler.Action]int
}

// consume runs a real consumer on a backlog of n messages for a while.
func consume(t *testing.T, n int, d time.Duration, c *middleware.Config, h handler.HandlerFunc) result {
	t.Helper()
	stack, err := middleware.Standard(c)
	require.NoError(t, err)
	q := newQueue(n)
	worker, err := consumer.New(q, stack.Handler(h), &consumer.Config{Concurrency: 32, Gates: stack.Gates()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	require.NoError(t, worker.Run(ctx))

	r := result{ends: map[handler.Action]int{}}
	for _, m := range q.messages {
		r.received += m.attempts
		r.most = max(r.most, m.attempts)
		r.ends[m.end]++
	}
	return r
}

// The runtime with its several pollers brings no more than the limit lets through,
// so that no message is given back at the price of an attempt.
func TestTheRuntimeKeepsToALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, err := ratelimit.New(50, time.Second, nil)
		require.NoError(t, err)
		r := consume(t, 500, time.Minute, &middleware.Config{RateLimits: []*ratelimit.Limiter{limit}},
			func(context.Context, *handler.Message) error { return nil })
		require.Equal(t, map[handler.Action]int{handler.ActionAck: 500}, r.ends)
		require.Equal(t, 500, r.received)
	})
}

// During an outage of a minute, the runtime receives next to nothing, and no
// message ends as a dead letter.
func TestTheRuntimePausesWhileABreakerIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gateway, err := breaker.New(nil)
		require.NoError(t, err)
		start := time.Now()
		r := consume(t, 300, 10*time.Minute, &middleware.Config{
			Breakers: []*breaker.Breaker{gateway},
			Backoff:  &backoff.Config{MaxAttempts: 4},
		}, func(context.Context, *handler.Message) error {
			<-time.After(20 * time.Millisecond)
			if time.Since(start) < time.Minute {
				return errDown
			}
			return nil
		})
		require.Equal(t, map[handler.Action]int{handler.ActionAck: 300}, r.ends)
		require.Less(t, r.received, 400)
		require.LessOrEqual(t, r.most, 6)
	})
}
