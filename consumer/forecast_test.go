package consumer

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// newForecast returns the forecast of a source with so many slots, whose receives
// bring so many messages at most.
func newForecast(slots, batch int, lease time.Duration) *forecast {
	c := &Consumer{cfg: Config{Concurrency: slots, DrainTimeout: 25 * time.Second}}
	return &forecast{source: &source{c: c, caps: drivers.Capabilities{Lease: lease, MaxReceive: batch}}}
}

func TestForecast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slots, batch      int
		trip, took, lease time.Duration
		want              int
	}{
		"nothing is known of receives":                  {100, 10, 0, time.Millisecond, time.Minute, 0},
		"nothing is known of handlers":                  {100, 10, time.Millisecond, 0, time.Minute, 0},
		"half of the handlers end in a round trip":      {100, 10, 5 * time.Millisecond, 10 * time.Millisecond, time.Minute, 80},
		"a large batch is for another round trip":       {100, 1000, 5 * time.Millisecond, 20 * time.Millisecond, time.Minute, 75},
		"a large batch, and long handlers":              {100, 1000, 50 * time.Millisecond, 200 * time.Millisecond, time.Minute, 50},
		"all do":                                        {100, 10, 10 * time.Millisecond, 10 * time.Millisecond, time.Minute, 100},
		"many times over":                               {100, 10, time.Second, time.Microsecond, time.Minute, 100},
		"few do":                                        {100, 10, 5 * time.Millisecond, 100 * time.Millisecond, time.Minute, 0},
		"handlers take minutes":                         {100, 10, 5 * time.Millisecond, 5 * time.Minute, time.Hour, 0},
		"a tenth of a short lease":                      {100, 10, time.Second, time.Second, 2 * time.Second, 20},
		"no lease is known":                             {100, 10, time.Second, time.Second, 0, 100},
		"two rounds of handlers outlast a drain":        {100, 10, 10 * time.Second, 13 * time.Second, time.Hour, 0},
		"two rounds of handlers fit into a drain":       {100, 10, 12 * time.Second, 12 * time.Second, time.Hour, 100},
		"handlers and receives that take no time":       {100, 10, time.Nanosecond, time.Nanosecond, time.Minute, 100},
		"one slot, and the same":                        {1, 10, time.Nanosecond, time.Nanosecond, time.Minute, 20},
		"receives that take no time":                    {100, 10, time.Nanosecond, time.Millisecond, time.Minute, 0},
		"handlers that take no time, as bubbles have":   {100, 10, time.Millisecond, time.Nanosecond, time.Minute, 100},
		"one slot, handlers of microseconds":            {1, 1000, time.Millisecond, time.Microsecond, time.Minute, 199},
		"one slot, handlers of microseconds, batches":   {1, 10, time.Millisecond, time.Microsecond, time.Minute, 20},
		"one slot, single messages":                     {1, 1, time.Millisecond, time.Microsecond, time.Minute, 2},
		"one slot, handlers of milliseconds":            {1, 10, 3 * time.Millisecond, 5 * time.Millisecond, time.Minute, 1},
		"one slot, handlers of 100 ms":                  {1, 10, 5 * time.Millisecond, 100 * time.Millisecond, time.Minute, 0},
		"one slot, handlers of minutes":                 {1, 1000, 5 * time.Second, 5 * time.Minute, time.Hour, 0},
		"one slot, no more than a drain handles":        {1, 1000, time.Minute, 4900 * time.Millisecond, time.Hour, 4},
		"one slot, no more than a tenth of the lease":   {1, 1000, time.Minute, time.Second, 61 * time.Second, 6},
		"many slots are not bounded by those of others": {5000, 1000, time.Second, time.Microsecond, time.Minute, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForecast(c.slots, c.batch, c.lease)
			for range 200 { // the deviations vanish
				if c.trip > 0 {
					f.received(c.trip)
				}
				if c.took > 0 {
					f.handled(c.took)
				}
			}
			require.InDelta(t, c.want, f.ahead(), float64(min(c.want/10, 1)))
		})
	}
}

// If handlers slow down, what waits behind few of them is given back if that is free, and
// kept otherwise, so that it should be little.
func TestFewMessagesAreAskedForIfReleasesCostAttempts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slots, attempts int
		free            bool
		want            int
	}{{1, 0, false, 199}, {1, 5, false, 10}, {1, 5, true, 199}, {20, 5, false, 20}, {20, 5, true, 180}, {80, 5, true, 120}, {300, 5, false, 300}} {
		f := newForecast(c.slots, 1000, time.Minute)
		f.source.caps.MaxAttempts, f.source.caps.FreeRelease = c.attempts, c.free
		for range 200 {
			f.handled(time.Microsecond)
			f.received(10 * time.Millisecond)
		}
		require.Equal(t, c.want, f.ahead(), "%+v", c)
	}
}

// A message that waits for longer than one and three quarters of a round trip makes receives ask for fewer,
// whatever the estimates say, until messages don't wait so long any more.
func TestAskingAheadYieldsToWaiting(t *testing.T) {
	t.Parallel()
	f := newForecast(100, 1000, time.Minute)
	// receive is a receive after a message that has waited so long.
	receive := func(waited time.Duration) int {
		f.handled(time.Microsecond)
		f.waited(waited, time.Minute, time.Now())
		f.received(10 * time.Millisecond)
		return f.ahead()
	}
	for range 200 {
		require.LessOrEqual(t, receive(17*time.Millisecond), 100)
	}
	require.Equal(t, 100, receive(17*time.Millisecond))
	last := 100
	for range 10 {
		now := receive(18 * time.Millisecond)
		require.Less(t, now, last)
		last = now
	}
	require.Less(t, last, 10)
	for range 16 {
		last = receive(17 * time.Millisecond)
	}
	require.Equal(t, 100, last)

	g := newForecast(100, 1000, time.Minute)
	for range 200 {
		g.handled(time.Microsecond)
		g.waited(unnoticed, time.Minute, time.Now())
		g.received(2 * time.Microsecond)
	}
	require.Zero(t, g.cut, "nobody notices it")

	f.handled(time.Second)
	require.Greater(t, f.took.mean, 100*time.Millisecond)
	f.waited(100*time.Millisecond, time.Minute, time.Now())
	f.received(10 * time.Millisecond)
	require.Zero(t, f.cut, "no longer than a handler's time")
}

// Varying times are predicted with caution: fewer handlers end in a round trip than
// the means say.
func TestAForecastOfWhatVariesIsCautious(t *testing.T) {
	t.Parallel()
	f := newForecast(100, 10, time.Minute)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		f.received(time.Duration(random.Int64N(int64(10 * time.Millisecond))))
		f.handled(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
	}
	require.Less(t, f.ahead(), 75, "50 end in a round trip by the means, and there are three batches")
	require.Greater(t, f.ahead(), 20)
}

// A message that waited for longer than a tenth of its lease ends asking ahead
// until a lease has passed.
func TestNothingWaitsInHandForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newForecast(100, 10, 30*time.Second)
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
	f := newForecast(100, 10, 30*time.Second)
	f.received(time.Millisecond)
	f.handled(time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		f.handled(time.Millisecond)
		_ = f.ahead()
	}
}
