package middleware_test

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

// failing says for which keys a store fails at this moment.
type failing func(key string) bool

type failingMarks struct {
	idempotency.Store
	fails failing
}

func (s failingMarks) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	if s.fails(key) {
		return idempotency.Claim{}, errStoreDown
	}
	return s.Store.Claim(ctx, key, token, ttl)
}

type failingWindows struct {
	ratelimit.Store
	fails failing
}

func (s failingWindows) Take(ctx context.Context, r ratelimit.Request) (ratelimit.Answer, error) {
	if s.fails(r.Key) {
		return ratelimit.Answer{}, errStoreDown
	}
	return s.Store.Take(ctx, r)
}

// A store that is down in part answers the probe: one node of a cluster is away, one
// partition is throttled. No message spends an attempt for that.
func TestAStoreThatIsDownInPart(t *testing.T) {
	t.Parallel()
	const outage = 10 * time.Minute
	third := func(key string) bool {
		h := fnv.New32()
		_, _ = h.Write([]byte(key))
		return h.Sum32()%3 == 0
	}
	for _, tc := range []struct {
		name  string
		fails failing
	}{
		{"for all but the probe", func(string) bool { return true }},
		{"for a third of the keys", third},
		{"now and then", func(string) bool { return rand.IntN(2) == 0 }},
	} {
		during := func() failing {
			until := time.Now().Add(outage)
			return func(key string) bool {
				return time.Now().Before(until) && !strings.Contains(key, "probe") && tc.fails(key)
			}
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Run("marks", func(t *testing.T) {
				onBoth(t, func(t *testing.T, p place) {
					m, err := idempotency.New(failingMarks{idempotency.NewMemory(), during()}, nil)
					require.NoError(t, err)
					requireEffectsAlone(t, p, &middleware.Config{Idempotency: m})
				})
			})
			t.Run("windows", func(t *testing.T) {
				onBoth(t, func(t *testing.T, p place) {
					l, err := ratelimit.New(1000, time.Second, &ratelimit.Config{Store: failingWindows{ratelimit.NewMemory(), during()}})
					require.NoError(t, err)
					requireEffectsAlone(t, p, &middleware.Config{RateLimits: []*ratelimit.Limiter{l}})
				})
			})
		})
	}
}

// requireEffectsAlone handles 200 messages, and requires that each is, once.
func requireEffectsAlone(t *testing.T, p place, cfg *middleware.Config) {
	t.Helper()
	const many = 200
	p.send(t, many, func(int) string { return "a" })
	stack, err := middleware.Standard(cfg)
	require.NoError(t, err)
	effects := &effectCounts{}
	h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		effects.add(m.ID)
		return nil
	})
	c, err := consumer.New(p.source, stack.Handler(h), &consumer.Config{Gates: stack.Gates()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	<-time.After(time.Hour)
	require.Zero(t, p.letters(t))
	cancel()
	require.NoError(t, <-done)
	require.Len(t, effects.times, many)
	for id, n := range effects.times {
		require.Equal(t, 1, n, id)
	}
}
