package handler_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func TestCause(t *testing.T) {
	boom := errors.New("boom")
	wrapped := fmt.Errorf("around: %w", handler.Reject(boom))
	require.Equal(t, boom, handler.Cause(boom))
	require.Equal(t, boom, handler.Cause(handler.Reject(boom)))
	require.Equal(t, boom, handler.Cause(handler.RetryAfter(time.Second, handler.Drop(boom))))
	require.Equal(t, wrapped, handler.Cause(wrapped), "only what is outside")
	bare := handler.Reject(nil)
	require.Equal(t, bare, handler.Cause(bare))
	require.NoError(t, handler.Cause(nil))
}
