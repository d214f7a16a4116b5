package ratelimit_test

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/ratelimit"
	"github.com/sluice-go/sluice/middleware/ratelimit/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{New: func(_ testing.TB, now func() time.Time) ratelimit.Store {
		return ratelimit.NewMemoryAt(now)
	}})
}

func TestTheLongestWindow(t *testing.T) {
	for _, per := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1} {
		now := time.Now()
		s := ratelimit.NewMemoryAt(func() time.Time { return now })
		now = now.Add(time.Minute)
		r := ratelimit.Request{Key: "k", Max: 1, Per: per, Wait: per, Batch: 1}
		a, err := s.Take(t.Context(), r)
		require.NoError(t, err)
		require.True(t, a.Taken)
		require.Greater(t, a.Next, 24*time.Hour)
		r.Wait = time.Hour
		for range 3 {
			a, err = s.Take(t.Context(), r)
			require.NoError(t, err)
			require.False(t, a.Taken)
			require.Greater(t, a.After, 24*time.Hour)
		}
	}
}

func BenchmarkMemory(b *testing.B) {
	for _, limit := range []int{10, 100_000} {
		b.Run(strconv.Itoa(limit), func(b *testing.B) {
			s := ratelimit.NewMemory()
			r := ratelimit.Request{Key: "k", Max: limit, Per: time.Minute, Batch: 1}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Take(context.Background(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("many keys", func(b *testing.B) {
		s := ratelimit.NewMemory()
		keys := make([]string, 10_000)
		for i := range keys {
			keys[i] = strconv.Itoa(i)
		}
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			i++
			_, err := s.Take(context.Background(), ratelimit.Request{Key: keys[i%len(keys)], Max: 10, Per: time.Minute, Batch: 1})
			require.NoError(b, err)
		}
	})
}
