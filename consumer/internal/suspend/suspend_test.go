package suspend_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/internal/suspend"
)

func TestTotalStandsStillWhileTheMachineRuns(t *testing.T) {
	first := suspend.Total()
	require.GreaterOrEqual(t, first, time.Duration(0))
	for range 1000 {
		require.InDelta(t, first.Seconds(), suspend.Total().Seconds(), 1, "this machine was not suspended meanwhile")
	}
}

func BenchmarkTotal(b *testing.B) {
	for b.Loop() {
		suspend.Total()
	}
}
