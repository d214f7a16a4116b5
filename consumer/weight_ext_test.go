package consumer_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
)

// The largest numbers that can be configured do not overflow: all slots are used, and
// in the ratio of the weights.
func TestTheLargestWeights(t *testing.T) {
	for name, c := range map[string]struct {
		weights     [2]int
		concurrency int
		running     [2]int // of both sources
	}{
		"one":             {weights: [2]int{1 << 61, 1}, concurrency: 100, running: [2]int{99, 1}},
		"both":            {weights: [2]int{math.MaxInt, math.MaxInt}, concurrency: 100, running: [2]int{50, 50}},
		"three to one":    {weights: [2]int{3 << 60, 1 << 60}, concurrency: 100, running: [2]int{75, 25}},
		"and concurrency": {weights: [2]int{math.MaxInt, math.MaxInt}, concurrency: math.MaxInt, running: [2]int{200, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 10_000
				if c.concurrency > n {
					n = 200 // all of them
				}
				a, b := newQueue(n), newQueue(n)
				w := startAll(t, []consumer.Weighted{{Source: a, Weight: c.weights[0]}, {Source: b, Weight: c.weights[1]}},
					lasting(10*time.Second), consumer.Config{Concurrency: c.concurrency})
				pass(35 * time.Second)
				if n == 200 {
					require.EqualValues(t, 400, w.c.Stats().Acked)
				} else {
					require.InDelta(t, c.running[0], len(a.flying), 15)
					require.InDelta(t, c.running[1], len(b.flying), 15)
					require.GreaterOrEqual(t, w.c.Stats().Running, 90)
				}
				require.NoError(t, w.stop())
			})
		})
	}
}
