package backoff_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware/backoff"
)

const (
	stormMessages = 4000
	stormAttempts = 6
	stormBuckets  = 20
	// chiSquared is exceeded by one in a thousand truly uniform samples, at 19
	// degrees of freedom. The seed is fixed, so the test does not depend on luck.
	chiSquared = 43.82
)

// Thousands of messages fail at the same moment, again and again: their delays
// are spread evenly from zero to the attempt's cap, and never beyond it.
func TestARetryStormIsSpreadEvenly(t *testing.T) {
	byAttempt, ds := storm(t, backoff.FullJitter)
	caps := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 20 * time.Second}
	for i, limit := range caps {
		delays := byAttempt[i+1]
		require.Len(t, delays, stormMessages)
		buckets := make([]int, stormBuckets)
		for _, d := range delays {
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.Less(t, d, limit)
			buckets[int(int64(d)*stormBuckets/int64(limit))]++
		}
		sum, expected := 0.0, float64(stormMessages)/stormBuckets
		for _, n := range buckets {
			sum += math.Pow(float64(n)-expected, 2) / expected
		}
		require.Less(t, sum, chiSquared, "attempt %d: not uniform: %v", i+1, buckets)
	}
	require.Len(t, byAttempt, len(caps), "the last attempt is rejected, not delayed")

	// The purpose: no tenth of a second sees more than a small part of the
	// messages come back, although all of them failed in the same instant.
	require.Less(t, peak(ds), stormMessages/10)
	_, ds = storm(t, backoff.NoJitter)
	require.Equal(t, stormMessages, peak(ds), "the measure would not notice a storm")
}

// storm returns the delays by attempt, and all deliveries.
func storm(t *testing.T, jitter backoff.Jitter) (map[int][]time.Duration, []*handlertest.Delivery) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	mw, err := backoff.New(&backoff.Config{
		Min: 2 * time.Second, Max: 20 * time.Second, MaxAttempts: stormAttempts, Jitter: jitter, Random: random.Float64,
	})
	require.NoError(t, err)
	failing := handler.HandlerFunc(func(context.Context, *handler.Message) error { return errBoom })
	q, err := handlertest.New(handler.Chain(failing, mw), &handlertest.Config{
		Clock: handlertest.NewClock(time.Unix(0, 0)), MaxAttempts: -1,
	})
	require.NoError(t, err)
	for range stormMessages {
		q.Send(&handler.Message{})
	}
	ds, err := q.Drain(t.Context())
	require.NoError(t, err)
	require.Len(t, ds, stormMessages*stormAttempts)
	require.Len(t, q.DeadLetters(), stormMessages)

	byAttempt := make(map[int][]time.Duration)
	for _, d := range ds {
		if d.Outcome == handlertest.Redelivered {
			byAttempt[d.Attempt] = append(byAttempt[d.Attempt], d.Delay)
		}
	}
	return byAttempt, ds
}

// peak is the largest number of retries in any tenth of a second.
func peak(ds []*handlertest.Delivery) int {
	most := 0
	slots := make(map[int64]int)
	for _, d := range ds {
		if d.Attempt > 1 {
			slot := d.At.UnixMilli() / 100
			slots[slot]++
			most = max(most, slots[slot])
		}
	}
	return most
}
