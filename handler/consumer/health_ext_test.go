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

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/consumer"
)

// ask asks a consumer for its health.
func ask(t *testing.T, c *consumer.Consumer, query string) (int, consumer.Health) {
	t.Helper()
	r := httptest.NewRecorder()
	c.Health().ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health"+query, nil))
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

func TestHealthFindsThatNothingIsReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(-1)
		q := newQueue(1)
		w := start(t, q, ack, consumer.Config{Gates: []handler.Gate{g}, StallAfter: time.Minute})
		pass(time.Second)
		g.set(0)
		pass(40 * time.Second) // the poll that was on its way has ended
		q.add(1, "")
		pass(10 * time.Second)
		code, h := ask(t, w.c, "")
		require.Equal(t, http.StatusOK, code)
		require.True(t, h.Queues[0].Paused)
		pass(time.Minute)
		code, h = ask(t, w.c, "")
		require.Equal(t, http.StatusServiceUnavailable, code, "a gate that never opens is a silent freeze")
		require.Equal(t, consumer.HealthStalled, h.Status)
		require.NoError(t, w.stop())
	})
}

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
