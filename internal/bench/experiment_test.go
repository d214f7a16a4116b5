package main

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Cases that are compared run in turn: a machine that changes its speed meets all of them.
func TestComparedCasesRunInTurn(t *testing.T) {
	var order []string
	x := func(id, rounds string) experiment {
		return experiment{id: id, rounds: rounds, times: 2, peers: []peer{{sluice, func(context.Context, *env) (sample, error) {
			order = append(order, id)
			return sample{metricCPU: float64(len(order))}, nil
		}}}}
	}
	rows, err := runAll(t.Context(), &env{sizes: sizes{runs: 2}}, []experiment{x("a", ""), x("b", ""), x("1", "n/"), x("2", "n/"), x("c", "")}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "a", "a", "a", "b", "b", "b", "b", "1", "2", "1", "2", "1", "2", "1", "2", "c", "c", "c", "c"}, order)
	require.Len(t, rows, 5)
	require.Equal(t, "2", rows[3].Case)
	require.Equal(t, 4, rows[3].Runs)
	require.InDelta(t, 10, rows[3].Metrics[metricCPU].Min, 0)
}
