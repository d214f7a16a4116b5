package suspend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAClockAsksTheKernelWhenTheClocksPart(t *testing.T) {
	t.Parallel()
	c := NewClock()
	var offset, slept time.Duration
	asked := 0
	c.offset = func() time.Duration { return offset }
	c.total = func() time.Duration { asked++; return slept }
	for range 10 {
		require.Zero(t, c.Total())
	}
	require.Equal(t, 1, asked)
	offset += slack / 2
	require.Zero(t, c.Total())
	require.Equal(t, 1, asked, "two readings are not of one moment")

	offset, slept = offset+time.Hour, time.Hour // a suspend
	for range 10 {
		require.Equal(t, time.Hour, c.Total())
	}
	require.Equal(t, 2, asked)
	offset -= 2 * time.Hour // the wall clock is set
	require.Equal(t, time.Hour, c.Total())
	require.Equal(t, 3, asked)
	for range 100 { // it creeps
		offset += time.Millisecond
		require.Equal(t, time.Hour, c.Total())
	}
	require.Less(t, asked, 6)
}

func TestAClockAgreesWithTheKernel(t *testing.T) {
	t.Parallel()
	c := NewClock()
	for range 1000 {
		require.InDelta(t, Total().Seconds(), c.Total().Seconds(), 1)
	}
}

func BenchmarkClock(b *testing.B) {
	c := NewClock()
	for b.Loop() {
		c.Total()
	}
}
