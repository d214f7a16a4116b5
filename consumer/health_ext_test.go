package consumer_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// ask asks a consumer for its health.
func ask(t *testing.T, c *consumer.Consumer, query string) (int, consumer.Health) {
	t.Helper()
	r := httptest.NewRecorder()
	consumer.HealthHandler(c.Health).ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health"+query, nil))
	require.Equal(t, "application/json", r.Header().Get("Content-Type"))
	var h consumer.Health
	require.NoError(t, json.Unmarshal(r.Body.Bytes(), &h), r.Body.String())
	return r.Code, h
}

func TestHealthThroughAConsumersLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		c, err := consumer.New(q, lasting(10*time.Second), nil)
		require.NoError(t, err)
		code, h := ask(t, c, "")
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, consumer.HealthStarting, h.Status)

		w := start(t, q, keeping(handler.KeepOptions{}, lasting(10*time.Second)), consumer.Config{})
		pass(2 * time.Second)
		code, h = ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, consumer.HealthOK, h.Status)
		require.Equal(t, 1, h.Running)
		require.Equal(t, []consumer.RunningHandler{{Queue: "orders", Message: "m1", Attempt: 1, Seconds: 2}}, h.Slowest)
		require.Equal(t, []consumer.QueueHealth{{Queue: "orders", Status: consumer.HealthOK, Pollers: 1}}, h.Queues)
		require.Empty(t, h.Stacks)

		w.cancel()
		pass(2 * time.Second)
		code, h = ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code, "a liveness probe must not end the drain")
		require.Equal(t, consumer.HealthDraining, h.Status)
		require.NoError(t, <-w.done)
		code, h = ask(t, w.c, "")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Equal(t, consumer.HealthStopped, h.Status)
	})
}

func TestHealthShowsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		var down atomic.Bool
		q.onReceive = func(int) error {
			if down.Load() {
				return fault(drivers.Transient)
			}
			return nil
		}
		w := start(t, q, ack, consumer.Config{})
		pass(time.Second)
		down.Store(true)
		pass(time.Minute)
		code, h := ask(t, w.c, "")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Equal(t, consumer.HealthOutage, h.Status)
		require.Equal(t, consumer.HealthOutage, h.Queues[0].Status)
		require.Contains(t, h.Queues[0].Error, "transient")
		require.NotNil(t, h.Queues[0].Since)
		down.Store(false)
		pass(40 * time.Second)
		code, _ = ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code)
		require.NoError(t, w.stop())
	})
}

func TestHealthFindsStuckHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		release := make(chan struct{})
		w := start(t, q, keeping(handler.KeepOptions{}, func(context.Context, *handler.Message) error {
			stuckHere(release)
			return nil
		}), consumer.Config{Concurrency: 2})
		pass(20 * time.Second)
		code, _ := ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code, "not for longer than the lease yet")
		pass(15 * time.Second)
		code, h := ask(t, w.c, "?stacks=1")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Equal(t, consumer.HealthStalled, h.Status)
		require.Contains(t, h.Stacks, "stuckHere")
		require.NotContains(t, h.Stacks, "synctest.Run(", "only the handlers' stacks")
		require.InDelta(t, 35, h.IdleSeconds, 1)
		close(release)
		pass(time.Second)
		code, _ = ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code)
		require.NoError(t, w.stop())
	})
}

func stuckHere(release chan struct{}) { <-release }

func TestHealthFindsAReceiveThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		release := make(chan struct{})
		var hang atomic.Bool
		q.onReceive = func(int) error {
			if hang.Load() {
				<-release // whatever its context says
			}
			return nil
		}
		w := start(t, q, ack, consumer.Config{})
		hang.Store(true)
		pass(21 * time.Second) // the next poll hangs
		pass(10 * time.Minute)
		require.Equal(t, consumer.HealthOK, w.c.Health().Status, "the queue is empty: nothing is lost")
		q.add(1, "")
		pass(20 * time.Second)
		_ = w.c.Health() // asks
		synctest.Wait()
		require.Equal(t, consumer.HealthStalled, w.c.Health().Status)
		code := probe(t, consumer.Liveness(w.c.Health))
		require.Equal(t, http.StatusServiceUnavailable, code)
		hang.Store(false)
		close(release)
		pass(time.Second)
		require.Equal(t, consumer.HealthOK, w.c.Health().Status)
		require.NoError(t, w.stop())
	})
}

// probe asks a probe's handler.
func probe(t *testing.T, h http.Handler) int {
	t.Helper()
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/probe", nil))
	var health consumer.Health
	require.NoError(t, json.Unmarshal(r.Body.Bytes(), &health), r.Body.String())
	return r.Code
}

// state returns a consumer's status and the responses of all its health handlers.
func state(t *testing.T, c *consumer.Consumer) (status string, overall, live, ready int) {
	t.Helper()
	overall = probe(t, consumer.HealthHandler(c.Health))
	live = probe(t, consumer.Liveness(c.Health))
	ready = probe(t, consumer.Readiness(c.Health))
	return c.Health().Status, overall, live, ready
}

// Faults that a restart does not mend are not reasons for one.
func TestProbesThroughWhatIsNoStall(t *testing.T) {
	const good, bad = http.StatusOK, http.StatusServiceUnavailable
	check := func(t *testing.T, c *consumer.Consumer, status string, overall, live, ready int) {
		t.Helper()
		s, o, l, r := state(t, c)
		require.Equal(t, []any{status, overall, live, ready}, []any{s, o, l, r}, "%+v", c.Health())
	}
	t.Run("a burst after idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(0)
			w := start(t, q, lasting(20*time.Second), consumer.Config{})
			pass(39 * time.Second)
			q.add(100, "")
			for range 60 {
				pass(time.Second)
				check(t, w.c, consumer.HealthOK, good, good, good)
			}
			require.NoError(t, w.stop())
		})
	})
	t.Run("an outage and the recovery from it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(100)
			var down atomic.Bool
			q.onReceive = func(int) error {
				if down.Load() {
					return fault(drivers.Transient)
				}
				return nil
			}
			w := start(t, q, lasting(2*time.Second), consumer.Config{})
			pass(40 * time.Second)
			down.Store(true)
			q.add(100, "")
			pass(30 * time.Second)
			for range 60 {
				pass(10 * time.Second)
				check(t, w.c, consumer.HealthOutage, bad, good, bad)
			}
			down.Store(false)
			for w.c.Stats().Running == 0 {
				pass(100 * time.Millisecond)
				_, _, live, _ := state(t, w.c)
				require.Equal(t, good, live)
			}
			check(t, w.c, consumer.HealthOK, good, good, good)
			require.NoError(t, w.stop())
		})
	})
	t.Run("a closed gate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(10)
			g := reasonGate{newGate(0)}
			w := start(t, q, ack, consumer.Config{Gates: []handler.Gate{g}})
			for range 60 {
				pass(10 * time.Second)
				check(t, w.c, consumer.HealthOK, good, good, good)
			}
			h := w.c.Health()
			require.True(t, h.Queues[0].Paused)
			require.Equal(t, "the store is down", h.Queues[0].PausedBy)
			g.set(-1)
			pass(time.Second)
			check(t, w.c, consumer.HealthOK, good, good, good)
			require.False(t, w.c.Health().Queues[0].Paused)
			require.NoError(t, w.stop())
		})
	})
	t.Run("stuck handlers, also during an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(3)
			var down atomic.Bool
			q.onReceive = func(int) error {
				if down.Load() {
					return fault(drivers.Transient)
				}
				return nil
			}
			release := make(chan struct{})
			w := start(t, q, keeping(handler.KeepOptions{}, func(context.Context, *handler.Message) error {
				<-release
				return nil
			}), consumer.Config{Concurrency: 3})
			down.Store(true)
			pass(29 * time.Second)
			_, _, live, _ := state(t, w.c)
			require.Equal(t, good, live)
			pass(2 * time.Second)
			check(t, w.c, consumer.HealthStalled, bad, bad, bad)
			close(release)
			pass(time.Second)
			_, _, live, _ = state(t, w.c)
			require.Equal(t, good, live)
			require.NoError(t, w.stop())
		})
	})
	t.Run("the ends of a life", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			c, err := consumer.New(q, lasting(10*time.Second), nil)
			require.NoError(t, err)
			check(t, c, consumer.HealthStarting, good, good, bad)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx) }()
			pass(time.Second)
			check(t, c, consumer.HealthOK, good, good, good)
			kept := c.Health()
			cancel()
			pass(time.Second)
			check(t, c, consumer.HealthDraining, good, good, bad)
			require.NoError(t, <-done)
			check(t, c, consumer.HealthStopped, bad, bad, bad)
			require.Equal(t, consumer.HealthOK, kept.Status, "a Health is a value")
			code := probe(t, consumer.HealthHandler(func() consumer.Health { return kept }))
			require.Equal(t, good, code, "which a handler can serve")
		})
	})
}

type reasonGate struct{ *gate }

func (reasonGate) Reason() string { return "the store is down" }

func TestAnIdleOrBusyConsumerIsHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(0)
		q.caps.Lease = 5 * time.Second
		w := start(t, q, keeping(handler.KeepOptions{}, lasting(time.Hour)), consumer.Config{Concurrency: 3})
		pass(time.Hour)
		code, _ := ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code, "there is nothing to do")
		q.add(1, "")
		pass(10 * time.Minute)
		code, h := ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code, "a long handler and no other message: %+v", h)
		w.c.Abort()
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
	})
}
