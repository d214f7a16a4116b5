package storetest_test

import (
	"testing"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

// The test of a store is one function, here with the store in memory.
func Example() {
	testStore := func(t *testing.T) {
		storetest.Run(t, func(*testing.T) idempotency.Store { return idempotency.NewMemory() })
	}
	_ = testStore // called by go test
	// Output:
}
