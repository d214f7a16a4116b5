package store

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const second = int64(time.Second)

func TestMomentShows(t *testing.T) {
	now := time.Now()
	m := Moment{At: 5 * second, Now: now}
	for _, c := range []struct {
		at   int64
		want time.Duration
	}{
		{5 * second, 0}, {65 * second, time.Minute}, {4 * second, -time.Second},
		{math.MaxInt64, 100 * 365 * 24 * time.Hour},
	} {
		got := m.Show(c.at)
		require.Equal(t, c.want, got.Sub(now))
		require.NotEqual(t, got.Round(0), got, "it has a monotonic part")
	}
}

func TestTimesSaturate(t *testing.T) {
	require.EqualValues(t, math.MaxInt64, Later(1, math.MaxInt64))
	require.EqualValues(t, math.MaxInt64, Later(math.MaxInt64, 1))
	require.EqualValues(t, 3, Later(1, 2))
	require.EqualValues(t, -1, Later(1, -2))
	require.EqualValues(t, math.MinInt64, Earlier(-2, math.MaxInt64))
	require.EqualValues(t, -1, Earlier(1, 2))
	require.EqualValues(t, math.MaxInt64, Nanos(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.EqualValues(t, math.MinInt64, Nanos(time.Time{}))
	require.Equal(t, second, Nanos(time.Unix(1, 0)))
}
