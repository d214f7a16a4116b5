package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest"
)

// silent is a source with nothing in it.
type silent struct{}

func (silent) Receive(context.Context, int, time.Duration) ([]drivers.Delivery, error) {
	return nil, nil
}
func (silent) Settle(context.Context, []drivers.Settlement) []error { return nil }
func (silent) Extend(context.Context, []drivers.Extension) []error  { return nil }
func (silent) Capabilities() drivers.Capabilities                   { return drivers.Capabilities{} }
func (silent) Close() error                                         { return nil }

// A test of what is built on a source makes the source fail, and asks
// afterwards whether the failure has happened.
func ExampleFlaky() {
	var flaky drivertest.Flaky
	source := flaky.Source(silent{})

	flaky.FailNext(drivertest.OpReceive, 1, errors.New("connection reset"))
	_, first := source.Receive(context.Background(), 10, 0)
	_, second := source.Receive(context.Background(), 10, 0)

	fmt.Println(first, second)
	fmt.Println(flaky.Calls(drivertest.OpReceive), "calls,", flaky.Failures(drivertest.OpReceive), "failed")
	// Output:
	// connection reset <nil>
	// 2 calls, 1 failed
}
