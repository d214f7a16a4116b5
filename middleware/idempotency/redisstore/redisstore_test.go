package redisstore_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/redisstore"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

func client(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	c := redis.NewClient(o)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestRedisConforms(t *testing.T) {
	server := testserver.Redis(t)
	storetest.Run(t, func(t *testing.T) idempotency.Store {
		s, err := redisstore.New(client(t, server.URL), nil)
		require.NoError(t, err)
		return s
	})
}

func TestPrefixesKeepKeysApart(t *testing.T) {
	c := client(t, testserver.Redis(t).URL)
	for _, prefix := range []string{testserver.Name(t) + ":a:", testserver.Name(t) + ":b:"} {
		s, err := redisstore.New(c, &redisstore.Config{Prefix: prefix})
		require.NoError(t, err)
		claim, err := s.Claim(t.Context(), "same", "token-of-"+prefix, time.Minute)
		require.NoError(t, err)
		require.Equal(t, idempotency.Claimed, claim.State)
	}
}

func TestKeysExpire(t *testing.T) {
	c := client(t, testserver.Redis(t).URL)
	prefix := testserver.Name(t) + ":"
	s, err := redisstore.New(c, &redisstore.Config{Prefix: prefix})
	require.NoError(t, err)
	_, err = s.Claim(t.Context(), "k", "t", time.Minute)
	require.NoError(t, err)
	require.Positive(t, c.TTL(t.Context(), prefix+"k").Val(), "a claim")
	require.NoError(t, s.Complete(t.Context(), "k", "t", nil, time.Hour))
	ttl := c.TTL(t.Context(), prefix+"k").Val()
	require.Greater(t, ttl, 59*time.Minute, "a mark")
	require.LessOrEqual(t, ttl, time.Hour, "a mark")
}

func TestNewRefusesNil(t *testing.T) {
	_, err := redisstore.New(nil, nil)
	require.ErrorContains(t, err, "nil")
}

func BenchmarkRedis(b *testing.B) {
	s, err := redisstore.New(client(b, testserver.Redis(b).URL), nil)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		key := testserver.Name(b)
		if _, err := s.Claim(b.Context(), key, "t", time.Minute); err != nil {
			b.Fatal(err)
		}
		if err := s.Complete(b.Context(), key, "t", nil, time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}

// A failover makes the server of every pooled connection a replica; new connections
// reach the new server.
func TestAFailoverCostsNoCall(t *testing.T) {
	old := testserver.OwnRedis(t)
	var target atomic.Pointer[string]
	point := func(s *testserver.Server) { addr := s.Addr(); target.Store(&addr) }
	point(old)
	o, err := redis.ParseURL(old.URL)
	require.NoError(t, err)
	o.PoolSize = 30
	o.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, *target.Load())
	}
	c := redis.NewClient(o)
	defer c.Close()
	s, err := redisstore.New(c, &redisstore.Config{Prefix: testserver.Name(t) + ":"})
	require.NoError(t, err)
	var calls sync.WaitGroup
	for range 20 { // open connections
		calls.Go(func() {
			// Not by c.Conn(): go-redis's Conns have a lock each for the options that they share.
			if err := c.BLPop(t.Context(), 200*time.Millisecond, "none").Err(); !errors.Is(err, redis.Nil) {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	require.GreaterOrEqual(t, int(c.PoolStats().IdleConns), 15)
	point(testserver.Redis(t))
	require.NoError(t, client(t, old.URL).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())

	claim, err := s.Claim(t.Context(), "k", "t", time.Minute)
	require.NoError(t, err)
	require.Equal(t, idempotency.Claimed, claim.State)
	require.NoError(t, s.Complete(t.Context(), "k", "t", nil, time.Minute))
}
