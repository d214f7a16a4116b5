package batch_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluice-go/sluice/consumer/internal/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink records batches.
type sink struct {
	mu      sync.Mutex
	takes   time.Duration
	batches [][]int
	at      []time.Time
	flying  int
	most    int
}

func (s *sink) flush(items []int) {
	s.mu.Lock()
	s.batches = append(s.batches, slices.Clone(items))
	s.at = append(s.at, time.Now())
	s.flying++
	s.most = max(s.most, s.flying)
	s.mu.Unlock()
	if s.takes > 0 {
		<-time.After(s.takes)
	}
	s.mu.Lock()
	s.flying--
	s.mu.Unlock()
}

func (s *sink) sizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sizes []int
	for _, b := range s.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestABatchIsFlushedWhenItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := batch.New(batch.Config[int]{Max: 3, Parallel: 2, Flush: s.flush})
		defer b.Stop()
		for i := range 7 {
			b.Add(i, time.Now().Add(time.Hour))
		}
		synctest.Wait()
		require.ElementsMatch(t, [][]int{{0, 1, 2}, {3, 4, 5}}, s.batches)
		require.Equal(t, 1, b.Len())
		require.NoError(t, b.Wait(t.Context()))
		require.Equal(t, []int{3, 3, 1}, s.sizes())
		b.Stop()
	})
}

func TestABatchIsFlushedWhenOneOfItCannotWaitLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := batch.New(batch.Config[int]{Max: 10, Parallel: 1, Flush: s.flush})
		defer b.Stop()
		began := time.Now()
		b.Add(1, began.Add(10*time.Second))
		b.Add(2, began.Add(5*time.Second))
		b.Add(3, began.Add(8*time.Second))
		pass(4 * time.Second)
		require.Empty(t, s.sizes())
		pass(time.Minute)
		require.Equal(t, []int{3}, s.sizes())
		require.Equal(t, began.Add(5*time.Second), s.at[0])

		// The timer of flushed items does not flush later ones.
		b.Add(4, time.Now().Add(10*time.Second))
		b.Flush()
		b.Add(5, time.Now().Add(20*time.Second))
		pass(15 * time.Second)
		require.Equal(t, []int{3, 1}, s.sizes())
		pass(6 * time.Second)
		require.Equal(t, []int{3, 1, 1}, s.sizes())
		b.Add(6, time.Now())
		synctest.Wait()
		require.Equal(t, []int{3, 1, 1, 1}, s.sizes())
	})
}

func TestFlushDoesNotWaitForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := batch.New(batch.Config[int]{Max: 10, Parallel: 1, Flush: s.flush})
		defer b.Stop()
		b.Flush() // nothing to do
		b.Add(1, time.Now().Add(time.Hour))
		b.Flush()
		synctest.Wait()
		require.Equal(t, []int{1}, s.sizes())
		b.Stop()
		require.NoError(t, b.Wait(t.Context()))
	})
}

func TestFlushesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{takes: time.Second}
		b := batch.New(batch.Config[int]{Max: 5, Parallel: 2, Flush: s.flush})
		defer b.Stop()
		for i := range 32 {
			b.Add(i, time.Now().Add(time.Millisecond))
		}
		require.NoError(t, b.Wait(t.Context()))
		require.Equal(t, 2, s.most)
		require.Equal(t, []int{5, 5, 5, 5, 5, 5, 2}, s.sizes(), "waiting items fill batches")
		var all []int
		for _, items := range s.batches {
			all = append(all, items...)
		}
		slices.Sort(all)
		for i := range 32 {
			require.Equal(t, i, all[i], "each item once")
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{takes: time.Minute}
		b := batch.New(batch.Config[int]{Max: 5, Parallel: 1, Flush: s.flush})
		defer b.Stop()
		b.Add(1, time.Now().Add(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.Wait(ctx), context.DeadlineExceeded)
		require.NoError(t, b.Wait(t.Context()))
	})
}

func TestConcurrentUse(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{}
	b := batch.New(batch.Config[int]{Max: 7, Parallel: 3, Flush: func(items []int) {
		mu.Lock()
		defer mu.Unlock()
		for _, i := range items {
			seen[i]++
		}
	}})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				b.Add(g*1000+i, time.Now().Add(time.Duration(i%3)*time.Microsecond))
				if i%100 == 0 {
					b.Flush()
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Wait(t.Context()))
	b.Stop()
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, seen, 4000)
	for i, n := range seen {
		require.Equal(t, 1, n, i)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			q := batch.New(batch.Config[*int]{Max: n, Parallel: 8, Flush: func([]*int) {}})
			due := time.Now().Add(time.Hour)
			item := new(int)
			b.ReportAllocs()
			for b.Loop() {
				q.Add(item, due)
			}
			require.NoError(b, q.Wait(b.Context()))
			q.Stop()
		})
	}
}
