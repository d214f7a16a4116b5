package consumer

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// newForecast returns the forecast of a source with 100 slots.
func newForecast(lease time.Duration) *forecast {
	c := &Consumer{cfg: Config{Concurrency: 100, DrainTimeout: 25 * time.Second}}
	return &forecast{source: &source{c: c, caps: drivers.Capabilities{Lease: lease}}}
}

func TestForecast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trip, took, lease time.Duration
		want              int
	}{
		"nothing is known of receives":             {0, time.Millisecond, time.Minute, 0},
		"nothing is known of handlers":             {time.Millisecond, 0, time.Minute, 0},
		"half of the handlers end in a round trip": {5 * time.Millisecond, 10 * time.Millisecond, time.Minute, 50},
		"all do":                                      {10 * time.Millisecond, 10 * time.Millisecond, time.Minute, 100},
		"many times over":                             {time.Second, time.Microsecond, time.Minute, 100},
		"few do":                                      {5 * time.Millisecond, 100 * time.Millisecond, time.Minute, 0},
		"handlers take minutes":                       {5 * time.Millisecond, 5 * time.Minute, time.Hour, 0},
		"a tenth of a short lease":                    {time.Second, time.Second, 2 * time.Second, 20},
		"no lease is known":                           {time.Second, time.Second, 0, 100},
		"two rounds of handlers outlast a drain":      {10 * time.Second, 13 * time.Second, time.Hour, 0},
		"two rounds of handlers fit into a drain":     {12 * time.Second, 12 * time.Second, time.Hour, 100},
		"handlers and receives that take no time":     {time.Nanosecond, time.Nanosecond, time.Minute, 0},
		"handlers that take no time, as bubbles have": {time.Millisecond, time.Nanosecond, time.Minute, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForecast(c.lease)
			for range 200 { // the deviations vanish
				if c.trip > 0 {
					f.received(c.trip)
				}
				if c.took > 0 {
					f.handled(c.took)
				}
			}
			require.InDelta(t, c.want, f.ahead(), 1)
		})
	}
}

// Varying times are predicted with caution: fewer handlers end in a round trip than
// the means say.
func TestAForecastOfWhatVariesIsCautious(t *testing.T) {
	t.Parallel()
	f := newForecast(time.Minute)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		f.received(time.Duration(random.Int64N(int64(10 * time.Millisecond))))
		f.handled(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
	}
	require.Less(t, f.ahead(), 50)
	require.Positive(t, f.ahead())
}

// A message that waited for longer than a tenth of its lease ends asking ahead
// until a lease has passed.
func TestNothingWaitsInHandForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newForecast(30 * time.Second)
		for range 200 {
			f.received(10 * time.Millisecond)
			f.handled(10 * time.Millisecond)
		}
		want := f.ahead()
		require.InDelta(t, 100, want, 1)
		f.waited(3*time.Second, 30*time.Second, time.Now())
		require.Equal(t, want, f.ahead())
		f.waited(3*time.Second+1, 30*time.Second, time.Now())
		require.Zero(t, f.ahead())
		time.Sleep(30*time.Second - 1) //nolint:forbidigo // virtual time
		require.Zero(t, f.ahead())
		time.Sleep(time.Nanosecond) //nolint:forbidigo // virtual time
		require.Equal(t, want, f.ahead())
		f.waited(time.Hour, 0, time.Now())
		require.Equal(t, want, f.ahead(), "there is no lease to use up")
	})
}

func BenchmarkForecast(b *testing.B) {
	f := newForecast(30 * time.Second)
	f.received(time.Millisecond)
	f.handled(time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		f.handled(time.Millisecond)
		_ = f.ahead()
	}
}
