package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	for _, ns := range []uint64{0, 1, 15, 16, 17, 31, 32, 1000, 123_456, 5_000_000, 1 << 40, 1<<63 - 1} {
		b := bucket(ns)
		require.LessOrEqual(t, floor(b), ns)
		require.Greater(t, floor(b+1), ns)
		require.Equal(t, b, bucket(floor(b)))
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var s spread
	require.Zero(t, s.quantile(0.5))
	for i := range 1000 {
		s.add(time.Duration(i) * time.Microsecond)
	}
	s.add(-time.Second) // a clock that was set back
	require.InEpsilon(t, 500, s.quantile(0.5), 1.0/parts)
	require.InEpsilon(t, 990, s.quantile(0.99), 1.0/parts)
}
