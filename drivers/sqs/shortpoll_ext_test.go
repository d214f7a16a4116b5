package sqs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

// A queue that waits by itself must not have the last say: zero wait asks once.
func TestNoWaitIsNoWait(t *testing.T) {
	testserver.Credentials(t)
	onServers(t, func(t *testing.T, endpoint string) {
		name := queue(t, endpoint)
		setAttribute(t, endpoint, name, "ReceiveMessageWaitTimeSeconds", "20")
		src, err := open(t, sqsURL(endpoint, name), nil)
		require.NoError(t, err)
		// A long poll would end with the context's error.
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		for _, wait := range []time.Duration{0, 300 * time.Millisecond} {
			ds, err := src.Receive(ctx, 10, wait)
			require.NoError(t, err)
			require.Empty(t, ds)
		}
	})
}
