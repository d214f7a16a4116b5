// Package storetest has the tests that every store of package ratelimit must
// pass.
package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/middleware/ratelimit"
)

// Harness makes a store for a test.
type Harness struct {
	// New returns a store that goes by the clock now and has no windows of the
	// keys that begin with the test's own name. It may be the same each time.
	New func(t testing.TB, now func() time.Time) ratelimit.Store
}

// clock is the time of a test. It begins at a whole microsecond, the finest that
// a store must distinguish.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMicro(1_800_000_000_123_456)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Run runs the tests.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"takes up to the limit":            testLimit,
		"slides":                           testSlides,
		"takes places in the future":       testFuture,
		"turns the rest away one by one":   testPromises,
		"foretells a batch of free places": testBatch,
		"keeps windows apart":              testKeys,
		"forgets":                          testForgets,
		"takes a lower limit":              testLowerLimit,
		"counts concurrent takers":         testConcurrent,
		"never exceeds the limit":          testNever,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

// window is one window of a store.
type window struct {
	*clock
	t     testing.TB
	store ratelimit.Store
	r     ratelimit.Request
}

func newWindow(t *testing.T, h Harness, limit int, per time.Duration) *window {
	t.Helper()
	c := newClock()
	return &window{clock: c, t: t, store: h.New(t, c.Now), r: ratelimit.Request{Key: t.Name(), Max: limit, Per: per, Batch: 1}}
}

func (w *window) take(wait time.Duration) ratelimit.Answer {
	w.t.Helper()
	r := w.r
	r.Wait = wait
	a, err := w.store.Take(w.t.Context(), r)
	require.NoError(w.t, err)
	return a
}

func testLimit(t *testing.T, h Harness) {
	w := newWindow(t, h, 3, time.Minute)
	for free := range 3 {
		a := w.take(0)
		require.True(t, a.Taken)
		require.Zero(t, a.After)
		require.Equal(t, 2-free, a.Free)
	}
	a := w.take(0)
	require.False(t, a.Taken)
	require.Equal(t, time.Minute, a.After)
	require.Zero(t, a.Free)
	require.Equal(t, time.Minute, a.Next)
}

func testSlides(t *testing.T, h Harness) {
	w := newWindow(t, h, 2, time.Minute)
	require.True(t, w.take(0).Taken)
	w.advance(40 * time.Second)
	require.True(t, w.take(0).Taken)
	w.advance(20*time.Second - time.Microsecond)
	require.Equal(t, time.Microsecond, w.take(0).After)
	w.advance(time.Microsecond)
	require.True(t, w.take(0).Taken, "a minute after the first")
	require.Equal(t, 40*time.Second, w.take(0).Next, "the second still counts")
	w.advance(time.Hour)
	require.Equal(t, 1, w.take(0).Free)
}

func testFuture(t *testing.T, h Harness) {
	w := newWindow(t, h, 2, time.Minute)
	for _, want := range []time.Duration{0, 0, time.Minute, time.Minute, 2 * time.Minute} {
		a := w.take(2 * time.Minute)
		require.True(t, a.Taken)
		require.Equal(t, want, a.After)
	}
	w.advance(time.Minute)
	a := w.take(0)
	require.False(t, a.Taken, "those places are taken")
	require.Equal(t, time.Minute, a.After)
	require.True(t, w.take(time.Minute).Taken)
	require.False(t, w.take(time.Minute).Taken)
}

func testPromises(t *testing.T, h Harness) {
	w := newWindow(t, h, 4, time.Minute)
	for range 4 {
		require.True(t, w.take(0).Taken)
	}
	for i := range 8 {
		require.Equal(t, time.Minute+time.Duration(i)*15*time.Second, w.take(0).After)
	}
	w.advance(30 * time.Second)
	require.Equal(t, 150*time.Second, w.take(0).After, "the ninth")
	w.advance(time.Hour)
	for range 4 {
		require.True(t, w.take(0).Taken, "promises bind no one")
	}
	require.Equal(t, time.Minute, w.take(0).After, "and are forgotten")
}

func testBatch(t *testing.T, h Harness) {
	w := newWindow(t, h, 4, time.Minute)
	w.r.Batch = 3
	for range 3 {
		require.NotZero(t, w.take(0).Free)
		w.advance(time.Second)
	}
	a := w.take(0)
	require.Zero(t, a.Free)
	require.Equal(t, 59*time.Second, a.Next, "the third of them was a second ago")
}

func testKeys(t *testing.T, h Harness) {
	w := newWindow(t, h, 1, time.Minute)
	for _, key := range []string{"", "a", "b", "a{b}c", "ä \n\x00"} {
		w.r.Key = t.Name() + key
		require.True(t, w.take(0).Taken, key)
		require.False(t, w.take(0).Taken, key)
	}
}

func testForgets(t *testing.T, h Harness) {
	w := newWindow(t, h, 1, time.Second)
	for i := range 500 {
		w.r.Key = fmt.Sprintf("%s/%d", t.Name(), i)
		require.True(t, w.take(0).Taken)
		w.advance(10 * time.Millisecond)
	}
	w.r.Key = t.Name() + "/499"
	require.False(t, w.take(0).Taken, "not too early")
	w.r.Key = t.Name() + "/0"
	require.True(t, w.take(0).Taken)
}

func testLowerLimit(t *testing.T, h Harness) {
	w := newWindow(t, h, 10, time.Minute)
	for range 10 {
		require.True(t, w.take(0).Taken)
		w.advance(time.Second)
	}
	w.r.Max = 3
	a := w.take(0)
	require.False(t, a.Taken)
	require.Equal(t, 57*time.Second, a.After, "three of the last must be over")
	w.r.Max = 5
	w.advance(57 * time.Second)
	require.Equal(t, 2, w.take(0).Free, "of the three that were kept one is over")
}

func testConcurrent(t *testing.T, h Harness) {
	w := newWindow(t, h, 50, time.Minute)
	taken := make(chan struct{}, 1000)
	var takers sync.WaitGroup
	for range 8 {
		takers.Go(func() {
			for range 25 {
				if w.take(0).Taken {
					taken <- struct{}{}
				}
			}
		})
	}
	takers.Wait()
	require.Len(t, taken, 50)
}

// At no time does a window have more starts than the limit, and a place is
// refused only if the window is full.
func testNever(t *testing.T, h Harness) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 8).Draw(rt, "limit")
		per := time.Duration(rapid.IntRange(1, 1000).Draw(rt, "per")) * time.Millisecond
		w := newWindow(t, h, limit, per)
		run++
		w.r.Key = fmt.Sprintf("%s/%d", t.Name(), run)
		w.r.Batch = rapid.IntRange(1, limit).Draw(rt, "batch")
		var starts []time.Time
		for range rapid.IntRange(1, 40).Draw(rt, "requests") {
			w.advance(time.Duration(rapid.IntRange(0, int(per.Microseconds()/2)).Draw(rt, "pause")) * time.Microsecond)
			wait := time.Duration(rapid.IntRange(0, 2).Draw(rt, "wait")) * per
			first := w.Now()
			if n := len(starts); n >= limit {
				if next := starts[n-limit].Add(per); next.After(first) {
					first = next
				}
			}
			a := w.take(wait)
			require.Equal(rt, first.Sub(w.Now()) <= wait, a.Taken)
			if a.Taken {
				require.Equal(rt, first, w.Now().Add(a.After))
				starts = append(starts, first)
			} else {
				require.GreaterOrEqual(rt, a.After, first.Sub(w.Now()))
			}
			require.Equal(rt, free(starts, limit, per, w.Now()), a.Free)
			if a.Free == 0 {
				require.GreaterOrEqual(rt, free(starts, limit, per, w.Now().Add(a.Next)), w.r.Batch)
				require.Less(rt, free(starts, limit, per, w.Now().Add(a.Next-time.Microsecond)), w.r.Batch)
			}
		}
	})
}

// free is how many places there are at a time, by the definition.
func free(starts []time.Time, limit int, per time.Duration, at time.Time) int {
	used := 0
	for _, s := range starts[max(len(starts)-limit, 0):] {
		if s.Add(per).After(at) {
			used++
		}
	}
	return limit - used
}
