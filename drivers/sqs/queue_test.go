package sqs

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSecondsRoundUpToTheLongestLease(t *testing.T) {
	for d, want := range map[time.Duration]int32{
		0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, maxLease: 43200, maxLease + 1: 43200, math.MaxInt64 - 1: 43200, math.MaxInt64: 43200,
	} {
		require.Equal(t, want, seconds(d), d)
	}
}
