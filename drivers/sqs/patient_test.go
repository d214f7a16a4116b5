package sqs

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func TestPatience(t *testing.T) {
	t.Parallel()
	p := newPatient()
	throttled, refused := answered(400, &types.RequestThrottled{}), errors.New("connection refused")
	require.True(t, p.IsErrorRetryable(throttled))
	longest := time.Duration(0)
	for attempt := 1; attempt < p.MaxAttempts(); attempt++ {
		d, err := p.RetryDelay(attempt, throttled)
		require.NoError(t, err)
		require.LessOrEqual(t, d, time.Second<<(attempt-1))
		longest += time.Second << (attempt - 1)
	}
	require.Less(t, longest, answerTime)

	_, err := p.RetryDelay(1, refused)
	require.NoError(t, err)
	_, err = p.RetryDelay(attempts, refused)
	require.Equal(t, refused, err, "its own error, and no longer wait")
}
