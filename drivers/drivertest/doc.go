// Package drivertest has the rules that every driver must keep: a suite over
// receiving, settling, leases, delays, attempts, dead letters, groups,
// contents, sending, inspection, provisioning and closing. Each rule has an ID that never
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
// The queue's [drivers.Capabilities], its optional interfaces, and the options that
// NewQueue refuses with [drivers.ErrUnsupported] select the rules. Run reports a rule
// that does not apply, with the reason, and does not skip it in silence. If a server
// differs from the provider that it stands for, the harness names the rule and the
// reason in Exceptions. Excepted rules run too: one that passes is a failure,
// because the exception is stale.
//
// Rules run concurrently, each on separate queues, regardless of -parallel: they
// spend their time waiting for leases to end.
//
// If the environment variable SLUICE_CONFORMANCE_DIR is set, each Run writes its
// results there as JSON, from which
//
//	go run ./drivers/drivertest/internal/conformance/cmd/conformance
//
// makes the table of docs/conformance.md.
//
// The package also has [Flaky], a decorator that makes a source or a sink fail
// on demand, for tests of code that uses a driver.
package drivertest
