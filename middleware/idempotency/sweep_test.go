package idempotency

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryForgetsWhatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{entries: make(map[string]*entry)}
		for i := range 1000 {
			key := fmt.Sprint(i)
			_, err := s.Claim(t.Context(), key, "t", time.Second)
			require.NoError(t, err)
			require.NoError(t, s.Complete(t.Context(), key, "t", nil, time.Minute))
		}
		require.Len(t, s.entries, 1000)
		time.Sleep(time.Hour) //nolint:forbidigo // moves the bubble's clock
		for i := range 500 {
			_, err := s.Claim(t.Context(), fmt.Sprint("new", i), "t", time.Second)
			require.NoError(t, err)
		}
		require.Len(t, s.entries, 500)
	})
}
