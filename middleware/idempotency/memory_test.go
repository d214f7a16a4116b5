package idempotency_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

func TestMemoryConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) idempotency.Store { return new(idempotency.Memory) })
}

func TestMemoryForgetsWhatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(idempotency.Memory)
		for i := range 1000 {
			key := fmt.Sprint(i)
			_, err := s.Claim(t.Context(), key, "t", time.Second)
			require.NoError(t, err)
			require.NoError(t, s.Complete(t.Context(), key, "t", nil, time.Minute))
		}
		require.Equal(t, 1000, s.Len())
		time.Sleep(time.Hour) //nolint:forbidigo // moves the bubble's clock
		for i := range 500 {
			_, err := s.Claim(t.Context(), fmt.Sprint("new", i), "t", time.Second)
			require.NoError(t, err)
		}
		require.Equal(t, 500, s.Len())
	})
}

func BenchmarkMemory(b *testing.B) {
	s := new(idempotency.Memory)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key := fmt.Sprint(i)
		if _, err := s.Claim(b.Context(), key, "t", time.Minute); err != nil {
			b.Fatal(err)
		}
		if err := s.Complete(b.Context(), key, "t", nil, time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}
