// Package storetest is the conformance suite of the idempotency stores: what
// every idempotency.Store must hold. It is for the tests of a store.
package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
)

// Run runs the suite on the store that open returns. open is called once for
// each rule. The stores may share their data, because each rule uses separate
// keys.
func Run(t *testing.T, open func(t *testing.T) idempotency.Store) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			t.Logf("%s: %s", r.id, r.sentence)
			r.check(t, open(t))
		})
	}
}

const long = time.Hour

// short is a claim's length in the rules that wait for its end: long enough for
// a slow machine to look at it while it holds.
const short = 500 * time.Millisecond

var rules = []struct {
	id, sentence string
	check        func(t *testing.T, s idempotency.Store)
}{
	{"CLAIM-1", "a free key is claimed, by one token", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", long, idempotency.Claimed)
		c := requireState(t, s, key, "b", long, idempotency.InProgress)
		require.Greater(t, c.Remaining, long/2)
		require.LessOrEqual(t, c.Remaining, long+time.Minute)
	}},
	{"CLAIM-2", "the same token may claim again, as after a lost answer", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", long, idempotency.Claimed)
		requireState(t, s, key, "a", long, idempotency.Claimed)
	}},
	{"CLAIM-3", "a claim that ended is taken over", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", short, idempotency.Claimed)
		requireSoonClaimed(t, s, key, "b")
		requireState(t, s, key, "a", long, idempotency.InProgress)
	}},
	{"CLAIM-4", "of many that claim at once, one gets the key", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				c, err := s.Claim(context.Background(), key, fmt.Sprint("t", i), long)
				if err == nil && c.State == idempotency.Claimed {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, won.Load())
	}},
	{"CLAIM-5", "of many that take over an ended claim at once, one gets the key", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "dead", time.Millisecond, idempotency.Claimed)
		var won atomic.Int32
		require.Eventually(t, func() bool {
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					c, err := s.Claim(context.Background(), key, fmt.Sprint("t", i), long)
					if err == nil && c.State == idempotency.Claimed {
						won.Add(1)
					}
				})
			}
			wg.Wait()
			return won.Load() > 0
		}, 10*time.Second, 20*time.Millisecond)
		require.EqualValues(t, 1, won.Load())
	}},
	{"DONE-1", "a completed key is done, with its result, for every token", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		result := []byte{0, 1, 0xff, 'x'}
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.NoError(t, s.Complete(t.Context(), key, "a", result, long))
		for _, token := range []string{"a", "b"} {
			c := requireState(t, s, key, token, long, idempotency.Done)
			require.Equal(t, result, c.Result)
		}
	}},
	{"DONE-2", "completing twice with one token is no fault, and the first result stays", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.NoError(t, s.Complete(t.Context(), key, "a", []byte("1"), long))
		require.NoError(t, s.Complete(t.Context(), key, "a", []byte("2"), long))
		require.Equal(t, "1", string(requireState(t, s, key, "b", long, idempotency.Done).Result))
	}},
	{"DONE-3", "a mark ends with its TTL", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.NoError(t, s.Complete(t.Context(), key, "a", nil, short))
		requireState(t, s, key, "b", long, idempotency.Done)
		requireSoonClaimed(t, s, key, "b")
	}},
	{"DONE-4", "an empty result is empty", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.NoError(t, s.Complete(t.Context(), key, "a", nil, long))
		require.Empty(t, requireState(t, s, key, "b", long, idempotency.Done).Result)
	}},
	{"FENCE-1", "the late mark of an owner that was outlived is refused", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "old", short, idempotency.Claimed)
		requireSoonClaimed(t, s, key, "new")
		require.ErrorIs(t, s.Complete(t.Context(), key, "old", nil, long), idempotency.ErrClaimLost)
		require.ErrorIs(t, s.Renew(t.Context(), key, "old", long), idempotency.ErrClaimLost)
		require.NoError(t, s.Complete(t.Context(), key, "new", []byte("new"), long))
		require.Equal(t, "new", string(requireState(t, s, key, "x", long, idempotency.Done).Result))
		require.ErrorIs(t, s.Complete(t.Context(), key, "old", []byte("old"), long), idempotency.ErrClaimLost)
	}},
	{"FENCE-2", "an ended claim that nobody took over may still be marked", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", 10*time.Millisecond, idempotency.Claimed)
		pause(t, 50*time.Millisecond)
		require.NoError(t, s.Complete(t.Context(), key, "a", nil, long))
		requireState(t, s, key, "b", long, idempotency.Done)
	}},
	{"FENCE-3", "a token that never claimed can neither mark nor renew", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		require.ErrorIs(t, s.Complete(t.Context(), key, "x", nil, long), idempotency.ErrClaimLost)
		require.ErrorIs(t, s.Renew(t.Context(), key, "x", long), idempotency.ErrClaimLost)
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.ErrorIs(t, s.Complete(t.Context(), key, "x", nil, long), idempotency.ErrClaimLost)
	}},
	{"RENEW-1", "a renewed claim outlives its first end", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", short, idempotency.Claimed)
		require.NoError(t, s.Renew(t.Context(), key, "a", long))
		pause(t, short+100*time.Millisecond)
		requireState(t, s, key, "b", long, idempotency.InProgress)
	}},
	{"RENEW-2", "a mark cannot be renewed into a claim", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.NoError(t, s.Complete(t.Context(), key, "a", nil, long))
		require.ErrorIs(t, s.Renew(t.Context(), key, "a", long), idempotency.ErrClaimLost)
		requireState(t, s, key, "b", long, idempotency.Done)
	}},
	{"FREE-1", "a released key is free", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.NoError(t, s.Release(t.Context(), key, "a"))
		requireState(t, s, key, "b", long, idempotency.Claimed)
	}},
	{"FREE-2", "only the owner releases, and nobody a mark", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		require.NoError(t, s.Release(t.Context(), key, "a"))
		requireState(t, s, key, "a", long, idempotency.Claimed)
		require.NoError(t, s.Release(t.Context(), key, "b"))
		requireState(t, s, key, "b", long, idempotency.InProgress)
		require.NoError(t, s.Complete(t.Context(), key, "a", nil, long))
		require.NoError(t, s.Release(t.Context(), key, "a"))
		requireState(t, s, key, "b", long, idempotency.Done)
	}},
	{"KEY-1", "keys of any plain UTF-8 up to the limit are told apart", func(t *testing.T, s idempotency.Store) {
		prefix := fresh()
		keys := []string{
			prefix + "a", prefix + "A", prefix + "a ", prefix + "ключ", prefix + "鍵/%_'\"\\*?", prefix + "😀",
			prefix + "a/b", prefix + "a%2Fb", prefix + "a%252Fb", prefix + "/", prefix + "//", prefix + "{a}",
			prefix + strings.Repeat("k", policy.MaxKey-len(prefix)),
		}
		for i, key := range keys {
			requireState(t, s, key, fmt.Sprint("t", i), long, idempotency.Claimed)
		}
		for i, key := range keys {
			require.NoError(t, s.Complete(t.Context(), key, fmt.Sprint("t", i), []byte(key), long))
		}
		for _, key := range keys {
			require.Equal(t, key, string(requireState(t, s, key, "x", long, idempotency.Done).Result))
		}
	}},
	{"CTX-1", "a call with an ended context changes nothing or says so", func(t *testing.T, s idempotency.Store) {
		key := fresh()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c, err := s.Claim(ctx, key, "a", long)
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			return
		}
		require.Equal(t, idempotency.Claimed, c.State)
		requireState(t, s, key, "b", long, idempotency.InProgress)
	}},
}

func fresh() string { return "storetest:" + rand.Text() + ":" }

func requireState(t *testing.T, s idempotency.Store, key, token string, ttl time.Duration, want idempotency.State) idempotency.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), key, token, ttl)
	require.NoError(t, err)
	require.Equal(t, want, c.State)
	return c
}

// requireSoonClaimed polls until the key has come free.
func requireSoonClaimed(t *testing.T, s idempotency.Store, key, token string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := s.Claim(t.Context(), key, token, long)
		return err == nil && c.State == idempotency.Claimed
	}, 15*time.Second, 20*time.Millisecond)
}

// pause lets a claim end by the store's own clock, which only waiting
// can do.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
