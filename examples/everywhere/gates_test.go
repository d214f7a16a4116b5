package main

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// A consumer that does not have them receives on while the books are out of reach.
func TestTheHandlerBringsTheGateOfItsStore(t *testing.T) {
	b, err := openBooks(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.db.Close()) })
	h, err := b.handler(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Len(t, h.gates, 1)
}
