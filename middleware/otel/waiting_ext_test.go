package otel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

var queueQ = handler.Origin{Queue: "q", System: "s"}

const labelsQ = "messaging.destination.name=q,messaging.system=s"

// A counter that appears with its first event has no increase.
func TestCountersStartAtZero(t *testing.T) {
	k := newKit(t, nil)
	k.Expect(queueQ)
	k.Expect(queueQ)
	k.ExpectStore("idempotency store redis://cache")
	got := k.metrics(t)
	for name, n := range got {
		require.Zero(t, n, name)
	}
	want := []string{
		"sluice.messages.retried[{message}]{" + labelsQ + "}", "sluice.messages.released[{message}]{" + labelsQ + "}",
		"sluice.messages.duplicates[{message}]{" + labelsQ + "}", "sluice.messages.expired[{message}]{" + labelsQ + "}",
		"sluice.lease.extensions[{extension}]{" + labelsQ + "}", "sluice.lease.losses[{lease}]{" + labelsQ + "}",
		"sluice.verdicts.late[{message}]{" + labelsQ + "}", "sluice.rejections.unroutable[{message}]{" + labelsQ + "}",
		"sluice.messages.in_flight[{message}]{" + labelsQ + "}", "sluice.stores.down[{store}]{sluice.store=idempotency store redis://cache}",
	}
	for _, verdict := range []string{"ack", "retry", "dead_letter", "drop"} {
		want = append(want, "sluice.messages.settled[{message}]{"+labelsQ+",sluice.verdict="+verdict+"}")
	}
	for _, kind := range []string{"transient", "throttled", "not_found", "denied", "invalid", "unreachable", "timeout"} {
		want = append(want, "sluice.receive.failures[{failure}]{error.type="+kind+","+labelsQ+"}")
	}
	for _, name := range want {
		require.Contains(t, got, name)
	}

	// A sender's counter is there, too, and none of a consumer.
	k = newKit(t, nil)
	k.Send(queueQ)
	got = k.metrics(t)
	require.Len(t, got, 1)
	for name := range got {
		require.True(t, strings.HasPrefix(name, "messaging.client.sent.messages"), name)
	}
}

// The wait is from enqueue to the handler, first deliveries apart from retries.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, nil)
		start := func(attempt int, ago time.Duration) {
			m := &handler.Message{Attempt: attempt, EnqueuedAt: time.Now().Add(-ago)}
			k.Observe(handler.Event{Kind: handler.EventStarted, Origin: &queueQ, Message: m})
		}
		start(1, time.Second)
		start(1, -time.Second) // the provider's clock is ahead
		start(2, time.Minute)
		start(7, time.Hour)
		start(0, time.Second)
		k.Observe(handler.Event{Kind: handler.EventStarted, Origin: &queueQ, Message: &handler.Message{Attempt: 1}})
		got := k.metrics(t)
		for delivery, n := range map[string]float64{"first": 2, "retry": 2, "unknown": 1} {
			require.InDelta(t, n, got["sluice.message.wait[s]{"+labelsQ+",sluice.delivery="+delivery+"}"], 0, delivery)
		}
	})
}

// If the provider does not say how old the oldest message is, the age of those that were
// handled lately is reported, and named so.
func TestTheAgeSeenAtReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const received, reported = "sluice.queue.oldest_age[s]{" + labelsQ + ",sluice.age=received}", "sluice.queue.oldest_age[s]{" + labelsQ + ",sluice.age=reported}"
		k := newKit(t, nil)
		d := otel.Depth{Visible: 3, InFlight: 1, Delayed: 0, DeadLetters: -1, OldestAge: -1}
		_, err := k.WatchDepth(queueQ, func(context.Context) (otel.Depth, error) { return d, nil })
		require.NoError(t, err)
		from := queueQ
		from.MaxDelay = 12 * time.Hour // which a consumer knows of its queue
		start := func(ago time.Duration) {
			m := &handler.Message{Attempt: 1, EnqueuedAt: time.Now().Add(-ago)}
			k.Observe(handler.Event{Kind: handler.EventStarted, Origin: &from, Message: m})
		}
		require.NotContains(t, k.metrics(t), received, "nothing was handled yet: it is not known")
		start(40 * time.Second)
		start(20 * time.Second)
		<-time.After(11 * time.Second)
		require.InDelta(t, 40, k.metrics(t)[received], 0)
		<-time.After(time.Minute)
		start(5 * time.Second)
		require.InDelta(t, 40, k.metrics(t)[received], 0, "in the window before")
		<-time.After(time.Minute)
		require.InDelta(t, 5, k.metrics(t)[received], 0)
		<-time.After(2 * time.Minute)
		require.NotContains(t, k.metrics(t), received)
		d = otel.Depth{DeadLetters: -1, OldestAge: -1}
		<-time.After(11 * time.Second)
		require.Contains(t, k.metrics(t), received, "an empty queue has no old message")
		d = otel.Depth{Visible: 1, DeadLetters: -1, OldestAge: time.Minute}
		start(time.Hour)
		<-time.After(11 * time.Second)
		got := k.metrics(t)
		require.InDelta(t, 60, got[reported], 0)
		require.NotContains(t, got, received)
	})
}

// Errors whose types are without number make no series without number.
func TestErrorTypesAreBounded(t *testing.T) {
	k := newKit(t, nil)
	for i := range 500 {
		k.Observe(handler.Event{Kind: handler.EventReceiveFailed, Origin: &queueQ, Err: typedError(fmt.Sprint("code", i))})
	}
	got := k.metrics(t)
	types, others := 0, 0.0
	for name, n := range got {
		if strings.HasPrefix(name, "sluice.receive.failures") {
			types++
			if strings.Contains(name, "error.type=_OTHER,") {
				others = n
			}
		}
	}
	require.LessOrEqual(t, types, 66)
	require.Greater(t, others, 400.0)
}

type typedError string

func (e typedError) Error() string     { return string(e) }
func (e typedError) ErrorType() string { return string(e) }
