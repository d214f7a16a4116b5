package idempotency_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

func TestMemoryConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) idempotency.Store { return idempotency.NewMemory() })
}

func BenchmarkMemory(b *testing.B) {
	s := idempotency.NewMemory()
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
