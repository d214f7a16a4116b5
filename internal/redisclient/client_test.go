package redisclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/redisclient"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/redisstore"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

func open(t testing.TB, rawURL string) *redisclient.Client {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	c, err := redisclient.Parse(u)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestTheStoreConformsOnIt(t *testing.T) {
	server := testserver.Redis(t)
	storetest.Run(t, func(t *testing.T) idempotency.Store {
		s, err := redisstore.New(open(t, server.URL), nil)
		require.NoError(t, err)
		return s
	})
}

// Each answer is the one that go-redis's own client gives.
func TestAnswersAreThoseOfGoRedis(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	o, err := redis.ParseURL(server.URL)
	require.NoError(t, err)
	theirs := redis.NewClient(o)
	defer theirs.Close()
	ours := open(t, server.URL)
	require.NoError(t, ours.Ping(t.Context()))
	for _, script := range []string{
		"return 7", "return 'text'", "return {1, 'two', {3, 'four'}}", "return false", "return redis.status_reply('FINE')",
		"return redis.error_reply('BAD luck')", "return ARGV[2] .. KEYS[1]", "not a script",
	} {
		want, wantErr := theirs.Eval(t.Context(), script, []string{"k"}, "a", 5).Result()
		got, gotErr := ours.Eval(t.Context(), script, []string{"k"}, "a", 5).Result()
		require.Equal(t, want, got, script)
		if wantErr == nil {
			require.NoError(t, gotErr, script)
			continue
		}
		require.EqualError(t, gotErr, wantErr.Error(), script)
		require.Equal(t, redis.HasErrorPrefix(wantErr, "BAD"), redis.HasErrorPrefix(gotErr, "BAD"), script)
		require.Equal(t, errors.Is(wantErr, redis.Nil), errors.Is(gotErr, redis.Nil), script)
	}
	sha, err := ours.ScriptLoad(t.Context(), "return 8").Result()
	require.NoError(t, err)
	there, err := ours.ScriptExists(t.Context(), sha, strings.Repeat("0", 40)).Result()
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, there)
	for _, run := range []func(context.Context, string, []string, ...any) *redis.Cmd{ours.EvalSha, ours.EvalShaRO} {
		n, err := run(t.Context(), sha, nil).Int()
		require.NoError(t, err)
		require.Equal(t, 8, n)
	}
	require.Equal(t, "x", ours.EvalRO(t.Context(), "return 'x'", nil).Val())
	require.True(t, redis.HasErrorPrefix(ours.EvalSha(t.Context(), strings.Repeat("0", 40), nil).Err(), "NOSCRIPT"))
}

// occupy is a script that keeps the server for so many microseconds: calls that begin
// together have a connection each.
const occupy = `local t = redis.call('TIME')
local e = t[1] * 1000000 + t[2] + ARGV[1]
repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > e
return 1`

// A failover makes the server of every pooled connection a replica; new connections
// reach the new server.
func TestAFailoverCostsNoCall(t *testing.T) {
	t.Parallel()
	old, next := testserver.OwnRedis(t), testserver.OwnRedis(t)
	var target atomic.Pointer[string]
	point := func(s *testserver.Server) { addr := s.Addr(); target.Store(&addr) }
	point(old)
	c := open(t, "redis://"+relay(t, &target)+"?pool_size=30&read_timeout=1m")
	s, err := redisstore.New(c, nil)
	require.NoError(t, err)
	var calls sync.WaitGroup
	for range 20 { // open connections
		calls.Go(func() {
			if err := c.Eval(t.Context(), occupy, nil, 20_000).Err(); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	require.GreaterOrEqual(t, int(c.PoolStats().IdleConns), 15)
	point(next)
	o, err := redis.ParseURL(old.URL)
	require.NoError(t, err)
	admin := redis.NewClient(o)
	defer admin.Close()
	require.NoError(t, admin.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())

	claim, err := s.Claim(t.Context(), "k", "t", time.Minute)
	require.NoError(t, err)
	require.Equal(t, idempotency.Claimed, claim.State)
	require.NoError(t, s.Complete(t.Context(), "k", "t", nil, time.Minute))
}

// A restart breaks every pooled connection.
func TestARestartCostsNoCall(t *testing.T) {
	t.Parallel()
	server := testserver.OwnRedis(t)
	c := open(t, server.URL)
	s, err := redisstore.New(c, nil)
	require.NoError(t, err)
	_, err = s.Claim(t.Context(), "k", "t", time.Minute)
	require.NoError(t, err)
	server.Stop(t)
	server.Start(t)
	require.NoError(t, s.Complete(t.Context(), "k", "t", nil, time.Minute))
}

// Connections that die together, in silence, cost one read timeout and not one each.
func TestALineThatDiesCostsNoCall(t *testing.T) {
	t.Parallel()
	u, line := swallow.URL(t, testserver.Redis(t).URL)
	u.RawQuery = "read_timeout=2s"
	c := open(t, u.String())
	const n = 20
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			if err := c.Eval(t.Context(), occupy, nil, 20_000).Err(); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	idle := c.PoolStats().IdleConns
	require.Greater(t, idle, uint32(8), "it tries that many connections by its retries")
	line.Die()
	require.NoError(t, c.Ping(t.Context()))
	require.NoError(t, c.Ping(t.Context()))
	require.Less(t, c.PoolStats().TotalConns, idle, "dead connections are kept")
}

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() // it accepts and never answers
	for _, retries := range []string{"-1", "3"} {
		c := open(t, "redis://"+listener.Addr().String()+"?read_timeout=1m&max_retries="+retries)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, c.Ping(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, c.Ping(lateContext{t.Context(), time.Now().Add(50 * time.Millisecond)}), context.DeadlineExceeded)

		stopped, stop := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, stop)
		require.ErrorIs(t, c.Ping(stopped), context.Canceled)
	}
}

// lateContext is a context whose timer has not fired yet: the connection's
// deadline, which is the same, passes first.
type lateContext struct {
	context.Context
	end time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.end, true }

func TestFaultsOfTheURL(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"poolsize=3":     `unknown parameter "poolsize"`,
		"protocol=3":     `unknown parameter "protocol"`,
		"pool_size=many": "pool_size",
		"db=first":       "database",
	} {
		u, err := url.Parse("redis://user:hunter2@127.0.0.1:1?" + query)
		require.NoError(t, err)
		_, err = redisclient.Parse(u)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// relay accepts connections and joins each to the target of its moment.
func relay(t *testing.T, target *atomic.Pointer[string]) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", *target.Load())
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return listener.Addr().String()
}
