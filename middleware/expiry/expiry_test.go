package expiry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/expiry"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func TestMessagesPastTheirTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attribute  string
		deadLetter bool
		handled    bool
		action     handler.Action
		says       string
	}{
		"never":                      {handled: true, action: handler.ActionAck},
		"later":                      {attribute: "2026-11-29T12:00:00.000000001Z", handled: true, action: handler.ActionAck},
		"now":                        {attribute: "2026-11-29T12:00:00Z", action: handler.ActionDrop, says: "dropped: the message has expired 0s ago"},
		"an hour ago":                {attribute: "2026-11-29T12:00:00+01:00", action: handler.ActionDrop, says: "dropped: the message has expired 1h0m0s ago"},
		"an hour ago, a dead letter": {attribute: "2026-11-29T11:00:00Z", deadLetter: true, action: handler.ActionDeadLetter, says: "rejected: the message has expired 1h0m0s ago"},
		"not a time":                 {attribute: "tomorrow", handled: true, action: handler.ActionAck},
		"empty":                      {attribute: "", handled: true, action: handler.ActionAck},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counter := &handler.Counter{}
			handled := false
			h := handler.Chain(handler.HandlerFunc(func(context.Context, *handler.Message) error { handled = true; return nil }),
				expiry.New(&expiry.Config{DeadLetter: c.deadLetter, Observer: counter, Now: func() time.Time { return noon }}))
			m := &handler.Message{}
			if name != "never" {
				m.SetAttribute(handler.AttributeExpires, c.attribute)
			}
			err := h.Handle(t.Context(), m)
			require.Equal(t, c.handled, handled)
			require.Equal(t, c.action, handler.VerdictOf(err).Action)
			if c.handled {
				require.NoError(t, err)
				require.Zero(t, counter.Counts())
				return
			}
			require.ErrorIs(t, err, expiry.ErrExpired)
			require.EqualError(t, err, c.says)
			require.Equal(t, handler.Counts{Expired: 1}, counter.Counts())
		})
	}
}

type bad struct{}

func (bad) Observe(handler.Event) { panic("boom") }

func TestAnObserverThatPanicsChangesNothing(t *testing.T) {
	t.Parallel()
	m := &handler.Message{}
	m.SetExpires(noon)
	require.ErrorIs(t, expiry.New(&expiry.Config{Observer: bad{}})(nil).Handle(t.Context(), m), expiry.ErrExpired)
}

// Through a queue and its runtime: what has expired is counted and gone, or a dead letter
// with its reason.
func TestOnAQueue(t *testing.T) {
	t.Parallel()
	for _, dead := range []bool{false, true} {
		var queues mem.Opener
		sink, err := queues.Sink(t.Context(), "taxis", nil)
		require.NoError(t, err)
		past, future := &handler.Message{Body: []byte("past")}, &handler.Message{Body: []byte("future")}
		past.SetExpires(time.Now().Add(-time.Minute))
		future.SetExpires(time.Now().Add(time.Hour))
		require.NoError(t, errors.Join(sink.Send(t.Context(), []*handler.Message{past, future})...))
		source, err := queues.Source(t.Context(), "taxis", nil)
		require.NoError(t, err)
		counter := &handler.Counter{}
		var handled []string
		h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			handled = append(handled, string(m.Body))
			return nil
		})
		c, err := consumer.New(source, handler.Chain(h, expiry.New(&expiry.Config{DeadLetter: dead, Observer: counter})), &consumer.Config{
			UntilEmpty: true, Concurrency: 1, Observers: []handler.Observer{counter}})
		require.NoError(t, err)
		require.NoError(t, c.Run(t.Context()))
		require.Equal(t, []string{"future"}, handled)
		n := counter.Counts()
		require.EqualValues(t, 1, n.Expired)
		require.EqualValues(t, 1, n.Acked)
		require.EqualValues(t, map[bool]int{true: 1}[dead], n.DeadLettered)
		require.EqualValues(t, map[bool]int{false: 1}[dead], n.Dropped)
	}
}
