package service

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
)

func TestTheServiceIsAsWellAsItsWorstQueue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		states []string
		want   string
	}{
		{nil, consumer.HealthStarting},
		{[]string{consumer.HealthOK}, consumer.HealthOK},
		{[]string{consumer.HealthOK, consumer.HealthOK}, consumer.HealthOK},
		{[]string{consumer.HealthOK, consumer.HealthStarting}, consumer.HealthStarting},
		{[]string{consumer.HealthOutage, consumer.HealthStarting}, consumer.HealthOutage},
		{[]string{consumer.HealthOutage, consumer.HealthStalled}, consumer.HealthStalled},
		{[]string{consumer.HealthStopped, consumer.HealthDraining}, consumer.HealthDraining},
		{[]string{consumer.HealthStopped, consumer.HealthOK}, consumer.HealthDraining},
		{[]string{consumer.HealthStopped, consumer.HealthStopped}, consumer.HealthStopped},
	} {
		var hs []consumer.Health
		for i, s := range c.states {
			hs = append(hs, consumer.Health{
				Status: s, Running: 1, Waiting: 2, Parked: 3, Settling: 4, IdleSeconds: float64(5 - i),
				Queues: []consumer.QueueHealth{{Queue: s}}, Slowest: []consumer.RunningHandler{{Seconds: float64(i)}, {}, {}, {}, {}, {}},
			})
		}
		got := merge(hs)
		require.Equal(t, c.want, got.Status, c.states)
		if n := len(hs); n > 1 {
			require.Equal(t, []int{n, 2 * n, 3 * n, 4 * n}, []int{got.Running, got.Waiting, got.Parked, got.Settling})
			require.Len(t, got.Queues, n)
			require.Len(t, got.Slowest, 10)
			require.InDelta(t, n-1, got.Slowest[0].Seconds, 0)
			require.InDelta(t, 5-(n-1), got.IdleSeconds, 0)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"9090": "127.0.0.1:9090", ":9090": "127.0.0.1:9090", "0.0.0.0:9090": "0.0.0.0:9090", "[::1]:1": "[::1]:1",
	} {
		require.Equal(t, want, Loopback(in))
	}
}
