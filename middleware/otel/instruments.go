package otel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// instruments are all that Telemetry counts with.
type instruments struct {
	processDuration, operationDuration                    metric.Float64Histogram
	wait, inHand                                          metric.Float64Histogram
	consumed, sent                                        metric.Int64Counter
	settled, retried, released, duplicates, expired       metric.Int64Counter
	extensions, losses, late, unroutable, receiveFailures metric.Int64Counter
	inFlight, storesDown                                  metric.Int64UpDownCounter
}

// durationBuckets are those that the conventions advise, in seconds.
var durationBuckets = metric.WithExplicitBucketBoundaries(
	0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

// waitBuckets reach a day: a backlog is measured by them.
var waitBuckets = metric.WithExplicitBucketBoundaries(
	0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 4*3600, 24*3600)

// inHandBuckets begin lower, since a received message rarely waits longer than a receive
// takes.
var inHandBuckets = metric.WithExplicitBucketBoundaries(
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

func newInstruments(m metric.Meter) (instruments, error) {
	var (
		i      instruments
		faults []error
	)
	histogram := func(name, about string, buckets metric.Float64HistogramOption) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(about), buckets)
		faults = append(faults, err)
		return h
	}
	counter := func(name, unit, about string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
		faults = append(faults, err)
		return c
	}
	i.processDuration = histogram("messaging.process.duration", "Duration of processing operation.", durationBuckets)
	i.operationDuration = histogram("messaging.client.operation.duration", "Duration of messaging operation initiated by a producer or consumer client.", durationBuckets)
	i.wait = histogram("sluice.message.wait", "Time from enqueue to the start of the handler, first deliveries apart from retries.", waitBuckets)
	i.inHand = histogram("sluice.message.in_hand.duration", "Time that received messages waited in hand for their handler to start.", inHandBuckets)
	i.consumed = counter("messaging.client.consumed.messages", "{message}", "Number of messages that were delivered to the application.")
	i.sent = counter("messaging.client.sent.messages", "{message}", "Number of messages producer attempted to send to the broker.")
	i.settled = counter("sluice.messages.settled", "{message}", "Messages whose verdict was carried out, by verdict.")
	i.retried = counter("sluice.messages.retried", "{message}", "Messages that are to be delivered again.")
	i.released = counter("sluice.messages.released", "{message}", "Messages that were given back unhandled.")
	i.expired = counter("sluice.messages.expired", "{message}", "Messages that had expired and were not handled.")
	i.duplicates = counter("sluice.messages.duplicates", "{message}", "Messages that were found to be handled already.")
	i.extensions = counter("sluice.lease.extensions", "{extension}", "Extensions of leases, with error.type where one was refused.")
	i.losses = counter("sluice.lease.losses", "{lease}", "Leases that were lost while their handler ran.")
	i.late = counter("sluice.verdicts.late", "{message}", "Verdicts that came after the lease was lost and were not carried out.")
	i.unroutable = counter("sluice.rejections.unroutable", "{message}", "Rejected messages that are retried because there is no dead-letter queue.")
	i.receiveFailures = counter("sluice.receive.failures", "{failure}", "Receives that failed.")
	var err error
	i.inFlight, err = m.Int64UpDownCounter("sluice.messages.in_flight", metric.WithUnit("{message}"), metric.WithDescription("Messages whose handler runs."))
	faults = append(faults, err)
	i.storesDown, err = m.Int64UpDownCounter("sluice.stores.down", metric.WithUnit("{store}"), metric.WithDescription("Stores of middleware that do not answer, by sluice.store."))
	return i, errors.Join(append(faults, err)...)
}
