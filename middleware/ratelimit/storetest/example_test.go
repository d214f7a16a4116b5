package storetest_test

import (
	"testing"
	"time"

	"github.com/sluice-go/sluice/middleware/ratelimit"
	"github.com/sluice-go/sluice/middleware/ratelimit/storetest"
)

// The test of a store is one function. A store that is shared by the rules takes its
// time from now.
func Example() {
	testStore := func(t *testing.T, open func(now func() time.Time) ratelimit.Store) {
		storetest.Run(t, storetest.Harness{New: func(_ testing.TB, now func() time.Time) ratelimit.Store { return open(now) }})
	}
	_ = testStore // called by go test
	// Output:
}
