// Package drivertest is the law that every driver obeys: a suite of rules over
// receiving, settling, leases, delays, attempts, dead letters, groups,
// contents, sending, inspection and closing. Each rule has an ID that never
// changes its meaning and a sentence, its law, that is printed when it fails.
//
// A driver's test builds a [Harness] and hands it to [Run]:
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, &drivertest.Harness{
//			Server: "mem",
//			NewQueue: func(ctx context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
//				name := uniqueName()
//				if err := createQueue(ctx, name, o.Lease, o.MaxAttempts, o.Ordered); err != nil {
//					return nil, err
//				}
//				return drivertest.ByURL(mux, "mem://"+name, "mem://"+name, "mem://"+name+"-dlq"), nil
//			},
//		})
//	}
//
// What the queue can do (its [drivers.Capabilities], its optional interfaces,
// and what NewQueue refuses with [drivers.ErrUnsupported]) chooses the rules; a
// rule that does not apply is reported as such with the reason, not skipped in
// silence. Where a server differs from the provider that it stands for, the
// harness names the rule and the reason in Exceptions. An excepted rule is run
// all the same: one that passes is a failure, because the exception is stale.
//
// Rules run concurrently, each on queues of its own, whatever -parallel says:
// they spend their time waiting for leases to end.
//
// With the environment variable SLUICE_CONFORMANCE_DIR set, each Run writes its
// results there as JSON; go run ./drivers/drivertest/internal/conformance/cmd/conformance makes the
// table of docs/conformance.md out of them.
//
// The package also has [Flaky], a decorator that makes a source or a sink fail
// on demand, for tests of what is built on a driver.
package drivertest
