package unhandled_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/internal/unhandled"
)

func TestANoteReachesAllThatWatch(t *testing.T) {
	outerCtx, outer := unhandled.Watch(t.Context())
	innerCtx, inner := unhandled.Watch(outerCtx)
	_, other := unhandled.Watch(t.Context())
	unhandled.Note(t.Context()) // nobody watches
	require.False(t, outer.Noted())
	unhandled.Note(context.WithoutCancel(innerCtx))
	require.True(t, inner.Noted())
	require.True(t, outer.Noted())
	require.False(t, other.Noted())
}
