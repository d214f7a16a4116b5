package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// stuck is a queue some of whose calls ignore their contexts and return only when
// the test is over.
type stuck struct {
	*queue
	over                               chan struct{}
	receives, settles, extends, closes bool
	receiving                          int
}

func (s *stuck) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	if s.receiving++; s.receives && s.receiving > 1 {
		<-s.over
		return nil, ctx.Err()
	}
	return s.queue.Receive(ctx, n, wait)
}

func (s *stuck) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	if s.settles {
		<-s.over
		return all(len(ss), errors.New("too late"))
	}
	return s.queue.Settle(ctx, ss)
}

func (s *stuck) Extend(ctx context.Context, es []drivers.Extension) []error {
	if s.extends {
		<-s.over
		return all(len(es), errors.New("too late"))
	}
	return s.queue.Extend(ctx, es)
}

func (s *stuck) Close() error {
	if s.closes {
		<-s.over
	}
	return s.queue.Close()
}

// Whatever hangs, Run returns within its budget, which with the defaults is the
// 30 seconds that Kubernetes gives, and within StopTimeout of an Abort.
func TestAShutdownHasOneBudget(t *testing.T) {
	for _, c := range []struct {
		name    string
		set     func(s *stuck)
		handler bool // ignores its context
	}{
		{"nothing", func(*stuck) {}, false},
		{"a handler", func(*stuck) {}, true},
		{"a receive", func(s *stuck) { s.receives = true }, false},
		{"a settlement", func(s *stuck) { s.settles = true }, false},
		{"an extension", func(s *stuck) { s.extends = true }, false},
		{"closing", func(s *stuck) { s.closes = true }, false},
		{"all of them", func(s *stuck) { s.receives, s.settles, s.extends, s.closes = true, true, true, true }, true},
	} {
		for _, b := range []struct {
			drain, stop, most time.Duration
			abort             time.Duration // after the stop; negative means never
		}{
			{0, 0, 30 * time.Second, -1},
			{0, 0, 5 * time.Second, 0},
			{0, 0, 15 * time.Second, 10 * time.Second},
			{0, 0, 30 * time.Second, 27 * time.Second},
			{-1, 3 * time.Second, 3 * time.Second, -1},
			{time.Second, time.Second, 2 * time.Second, -1},
			{time.Minute, 20 * time.Second, 80 * time.Second, -1},
		} {
			t.Run(fmt.Sprintf("%s hangs/%v+%v, abort after %v", c.name, b.drain, b.stop, b.abort), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := &stuck{queue: newQueue(8), over: make(chan struct{})}
					c.set(q)
					w := start(t, q, func(ctx context.Context, m *handler.Message) error {
						stop, _ := m.Lease().Keep(handler.KeepOptions{})
						defer func() { go stop() }() // it waits for an extension that hangs
						switch {
						case m.ID == "m1":
							return nil
						case c.handler:
							<-q.over
							return nil
						default:
							return lasting(time.Hour)(ctx, m)
						}
					}, consumer.Config{DrainTimeout: b.drain, StopTimeout: b.stop})
					pass(20 * time.Second) // the beats are on their way
					began := time.Now()
					w.cancel()
					if b.abort >= 0 {
						time.AfterFunc(b.abort, w.c.Abort)
					}
					err := <-w.done
					took := time.Since(began)
					close(q.over)
					require.LessOrEqual(t, took, b.most)
					if err == nil {
						require.Equal(t, "an extension", c.name, "the handlers of an hour were not done")
						require.Positive(t, w.c.Stats().LeasesLost, "they were canceled when their leases were lost")
					} else {
						require.ErrorIs(t, err, consumer.ErrDrainTimeout)
					}
					pass(time.Minute)
				})
			})
		}
	}
}

// Verdicts that cannot be sent do not take more than StopTimeout when handlers
// are done.
func TestAnEarlyDrainDoesNotWaitForItsWholeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &stuck{queue: newQueue(1), over: make(chan struct{}), settles: true}
		w := start(t, q, lasting(3*time.Second), consumer.Config{})
		pass(time.Second)
		began := time.Now()
		require.ErrorIs(t, w.stop(), consumer.ErrDrainTimeout)
		require.LessOrEqual(t, time.Since(began), 7*time.Second)
		close(q.over)
		pass(time.Minute)
	})
}

// A retry above the provider's longest delay, returned while the consumer stops,
// gets as much of its delay as the provider gives, and the loss is logged.
func TestALongRetryWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.caps.MaxDelay, q.caps.MaxExtension, q.caps.MaxLease = 10*time.Minute, 10*time.Minute, drivers.Unlimited
		w := start(t, q, func(context.Context, *handler.Message) error {
			<-time.After(2 * time.Second)
			return handler.RetryAfter(20*time.Minute, errors.New("later"))
		}, consumer.Config{})
		pass(time.Second)
		began := time.Now()
		require.NoError(t, w.stop())
		require.Less(t, time.Since(began), 2*time.Second)
		require.Len(t, q.settles, 1)
		require.Equal(t, 10*time.Minute, q.settles[0][0].Delay)
		require.True(t, q.settles[0][0].Delayed)
		require.Equal(t, 1, w.logs.count("limits the delay"))
	})
}
