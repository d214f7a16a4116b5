package redisstore_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/ratelimit"
	"github.com/sluice-go/sluice/middleware/ratelimit/redisstore"
	"github.com/sluice-go/sluice/middleware/ratelimit/storetest"
)

func newClient(t testing.TB, s *testserver.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestStore(t *testing.T) {
	client := newClient(t, testserver.Redis(t))
	storetest.Run(t, storetest.Harness{New: func(_ testing.TB, now func() time.Time) ratelimit.Store {
		return redisstore.New(client, &redisstore.Config{Prefix: t.Name() + ":", Now: now})
	}})
}

// By the server's own clock, limiters of one name in several processes are one
// limit, and their keys expire.
func TestLimitersShareAWindow(t *testing.T) {
	server := testserver.Redis(t)
	var handled atomic.Int64
	h := handler.HandlerFunc(func(context.Context, *handler.Message) error { handled.Add(1); return nil })
	for range 3 { // as many processes
		limit, err := ratelimit.New(20, time.Hour, &ratelimit.Config{
			Name: t.Name(), Store: redisstore.New(newClient(t, server), nil), MaxWait: -1,
		})
		require.NoError(t, err)
		for range 15 {
			err := limit.Middleware(h).Handle(t.Context(), &handler.Message{})
			if err != nil {
				require.ErrorIs(t, err, ratelimit.ErrLimited)
				delay := handler.VerdictOf(err).Delay
				require.Greater(t, delay, 50*time.Minute)
			}
		}
	}
	require.Equal(t, int64(20), handled.Load())

	client := newClient(t, server)
	keys := []string{
		"sluice:ratelimit:{" + t.Name() + "}:starts",
		"sluice:ratelimit:{" + t.Name() + "}:next",
	}
	for _, key := range keys {
		ttl, err := client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		require.Greater(t, ttl, 30*time.Minute, key)
	}
}

// Redis goes away and comes back: no message is lost or let through, and nothing
// needs a restart.
func TestAnOutageHoldsMessagesBack(t *testing.T) {
	server := testserver.OwnRedis(t)
	var handled atomic.Int64
	h := handler.HandlerFunc(func(context.Context, *handler.Message) error { handled.Add(1); return nil })
	newLimit := func(open bool) *ratelimit.Limiter {
		limit, err := ratelimit.New(1000, time.Second, &ratelimit.Config{
			Store: redisstore.New(newClient(t, server), nil), FailOpen: open, StoreTimeout: 500 * time.Millisecond,
		})
		require.NoError(t, err)
		return limit
	}
	closed, open := newLimit(false), newLimit(true)
	require.NoError(t, closed.Middleware(h).Handle(t.Context(), &handler.Message{}))
	require.Equal(t, int64(1), handled.Load())

	server.Stop(t)
	err := closed.Middleware(h).Handle(t.Context(), &handler.Message{})
	require.ErrorIs(t, err, handler.ErrPostponed)
	require.ErrorContains(t, err, "redis")
	require.Positive(t, handler.VerdictOf(err).Delay)
	n, reopened := closed.Admit(10)
	require.Zero(t, n)
	require.NoError(t, open.Middleware(h).Handle(t.Context(), &handler.Message{}))
	require.Equal(t, int64(2), handled.Load())
	n, _ = open.Admit(10)
	require.Equal(t, 10, n)

	server.Start(t)
	<-reopened
	require.Eventually(t, func() bool {
		return closed.Middleware(h).Handle(t.Context(), &handler.Message{}) == nil
	}, 30*time.Second, 50*time.Millisecond)
	n, _ = closed.Admit(10)
	require.Equal(t, 10, n)
}

func BenchmarkTake(b *testing.B) {
	s := redisstore.New(newClient(b, testserver.Redis(b)), nil)
	r := ratelimit.Request{Key: b.Name(), Max: 1000, Per: time.Second, Batch: 10}
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.Take(context.Background(), r)
		require.NoError(b, err)
	}
}
