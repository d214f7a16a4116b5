package handler_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// A counter counts messages by verdict, under whatever delivers them.
func ExampleCounter() {
	var counter handler.Counter
	// With a consumer: consumer.Config{Observers: []handler.Observer{&counter}}.
	counter.Observe(handler.Event{Kind: handler.EventReceived, N: 3})
	counter.Observe(handler.Event{Kind: handler.EventSettled, Action: handler.ActionAck})
	counter.Observe(handler.Event{Kind: handler.EventSettled, Action: handler.ActionAck})
	counter.Observe(handler.Event{Kind: handler.EventSettled, Action: handler.ActionDeadLetter})
	n := counter.Counts()
	fmt.Println(n.Received, n.Acked, n.Retried, n.DeadLettered)
	// Output: 3 2 0 1
}

func TestCounterCountsByVerdict(t *testing.T) {
	t.Parallel()
	failed := errors.New("refused")
	for _, test := range []struct {
		event handler.Event
		want  handler.Counts
	}{
		{handler.Event{Kind: handler.EventReceived, N: 7}, handler.Counts{Received: 7}},
		{handler.Event{Kind: handler.EventSettled, Action: handler.ActionAck}, handler.Counts{Acked: 1}},
		{handler.Event{Kind: handler.EventSettled}, handler.Counts{Retried: 1}},
		{handler.Event{Kind: handler.EventSettled, Action: handler.ActionDeadLetter}, handler.Counts{DeadLettered: 1}},
		{handler.Event{Kind: handler.EventSettled, Action: handler.ActionDrop}, handler.Counts{Dropped: 1}},
		{handler.Event{Kind: handler.EventSettled, Action: handler.ActionAck, Err: failed}, handler.Counts{Unsettled: 1}},
		{handler.Event{Kind: handler.EventExtended}, handler.Counts{Extended: 1}},
		{handler.Event{Kind: handler.EventExtended, Err: failed}, handler.Counts{}},
		{handler.Event{Kind: handler.EventLeaseLost}, handler.Counts{LeasesLost: 1}},
		{handler.Event{Kind: handler.EventLateVerdict, Action: handler.ActionAck}, handler.Counts{Late: 1}},
		{handler.Event{Kind: handler.EventReleased}, handler.Counts{Released: 1}},
		{handler.Event{Kind: handler.EventPostponed}, handler.Counts{Postponed: 1}},
		{handler.Event{Kind: handler.EventDuplicate}, handler.Counts{Duplicates: 1}},
		{handler.Event{Kind: handler.EventExpired}, handler.Counts{Expired: 1}},
		{handler.Event{Kind: handler.EventHandled, Action: handler.ActionAck}, handler.Counts{}},
		{handler.Event{}, handler.Counts{}},
	} {
		var c handler.Counter
		c.Observe(test.event)
		require.Equal(t, test.want, c.Counts(), "%v", test.event.Kind)
	}
}

func TestEventKindHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for k := handler.EventReceived; k <= handler.EventExpired; k++ {
		require.NotContains(t, k.String(), "(", "kind %d", k)
		require.False(t, seen[k.String()], "%v names two kinds", k)
		seen[k.String()] = true
	}
	require.Equal(t, "lease_lost", handler.EventLeaseLost.String())
	require.Equal(t, "event(0)", handler.EventKind(0).String())
	require.Equal(t, "event(99)", handler.EventKind(99).String())
}
