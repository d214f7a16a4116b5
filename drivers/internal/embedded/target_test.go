package embedded

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/queue"
)

func target(t *testing.T, name string) Target {
	t.Helper()
	e := queue.NewMemory(nil)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return Target{Engine: e, Queue: name, System: "sluice_test"}
}

func source(t *testing.T, tg Target, c *Config) *Source {
	t.Helper()
	s, err := tg.OpenSource(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func sink(t *testing.T, tg Target) *Sink {
	t.Helper()
	s, err := tg.OpenSink(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func send(t *testing.T, s drivers.Sink, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		require.Nil(t, s.Send(t.Context(), []*handler.Message{{Body: []byte(b)}}))
	}
}

func receive(t *testing.T, s drivers.Source, n int) []drivers.Delivery {
	t.Helper()
	ds, err := s.Receive(t.Context(), n, 0)
	require.NoError(t, err)
	return ds
}

func TestDefaults(t *testing.T) {
	tg := target(t, "orders")
	c := source(t, tg, nil).Capabilities()
	require.Equal(t, drivers.Capabilities{
		Queue: "orders", System: "sluice_test", MaxReceive: batch, MaxSettle: batch, MaxExtend: batch, MaxSend: batch, MaxSendGroup: batch,
		MaxDelay: drivers.Unlimited, MaxSendDelay: drivers.Unlimited, MaxExtension: drivers.Unlimited, MaxLease: drivers.Unlimited,
		Lease: DefaultVisibilityTimeout, Ordered: true, DeadLetter: true, DeadLetterQueue: "orders-dlq", MaxAttempts: DefaultMaxAttempts,
		AttemptKnown: true, FreeRelease: true, LocalClock: true, NativeRedrive: true, StaleReceiptFails: true, StaleReceiptHarmless: true,
	}, c)
	letters, _, err := tg.Engine.Config(t.Context(), "orders-dlq")
	require.NoError(t, err)
	require.Equal(t, queue.Config{Visibility: DefaultVisibilityTimeout, Retention: 2 * DefaultRetention}, letters)

	tg.Queue = "other-dlq"
	require.False(t, source(t, tg, nil).Capabilities().DeadLetter, "a dead-letter queue has none of its own")
}

func TestQueueKeepsWhatItWasMadeWith(t *testing.T) {
	tg := target(t, "q")
	source(t, tg, &Config{VisibilityTimeout: time.Hour, MaxAttempts: 2, DeadLetter: "dead", DedupeWindow: time.Minute, Delay: time.Second, Ordered: new(false)})
	c := source(t, tg, nil).Capabilities()
	require.Equal(t, time.Hour, c.Lease)
	require.Equal(t, 2, c.MaxAttempts)
	require.Equal(t, "dead", c.DeadLetterQueue)
	require.False(t, c.Ordered)

	c = source(t, tg, &Config{MaxAttempts: -1, DedupeWindow: -1, Delay: -1, Ordered: new(true), DeadLetter: NoDeadLetter}).Capabilities()
	require.Equal(t, time.Hour, c.Lease, "what is not said stays")
	require.Zero(t, c.MaxAttempts)
	require.False(t, c.DeadLetter)
	got, _, err := tg.Engine.Config(t.Context(), "q")
	require.NoError(t, err)
	require.Equal(t, queue.Config{Visibility: time.Hour, Retention: DefaultRetention, Ordered: true}, got)
}

func TestLettersAreMadeAgain(t *testing.T) {
	tg := target(t, "q")
	source(t, tg, nil)
	require.NoError(t, tg.Engine.Remove(t.Context(), "q-dlq"))
	s := source(t, tg, nil)
	send(t, sink(t, tg), "x")
	d := receive(t, s, 1)[0]
	require.Nil(t, s.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter}}))
}

func TestConfigurationThatMakesNoSense(t *testing.T) {
	_, err := target(t, "q").OpenSource(t.Context(), &Config{DeadLetter: "q"})
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "its own dead-letter queue")
	_, err = target(t, "q").OpenSink(t.Context(), &Config{VisibilityTimeout: -1})
	require.ErrorIs(t, err, drivers.ErrInvalid)
}

func TestExhaustedLetterTellsItsSourceAndNoReason(t *testing.T) {
	tg := target(t, "q")
	s := source(t, tg, &Config{MaxAttempts: 1, VisibilityTimeout: time.Nanosecond})
	send(t, sink(t, tg), "poison")
	require.Len(t, receive(t, s, 1), 1)
	require.Empty(t, receive(t, s, 1))
	want := drivers.DeadLetter{Queue: "q", Attempt: 1}

	seen, err := s.Peek(t.Context(), 1, true)
	require.NoError(t, err)
	got, _ := drivers.ParseFailure(seen[0].Attributes)
	require.Equal(t, want, got)

	letters, err := s.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	got, _ = drivers.ParseFailure(receive(t, letters, 1)[0].Message.Attributes)
	require.Equal(t, want, got)
	require.NoError(t, letters.Close())
}

// A redrive starts the count anew, and a letter that no handler failed does not
// show the reason of the time before.
func TestRedrivenLetterForgetsItsFailure(t *testing.T) {
	tg := target(t, "q")
	s := source(t, tg, &Config{MaxAttempts: 2, VisibilityTimeout: time.Nanosecond})
	k := sink(t, tg)
	require.Nil(t, k.Send(t.Context(), []*handler.Message{{Body: []byte("x"), DedupeID: "mine", Attributes: map[string]string{"k": "v"}}}))
	d := receive(t, s, 1)[0]
	require.Nil(t, s.Settle(t.Context(), []drivers.Settlement{{
		Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter, Failure: &drivers.Failure{Reason: "boom"},
	}}))
	letter := func(want drivers.DeadLetter) {
		t.Helper()
		letters, err := s.OpenDeadLetters(t.Context())
		require.NoError(t, err)
		ds := receive(t, letters, 1)
		require.Len(t, ds, 1)
		require.Equal(t, 1, ds[0].Message.Attempt, "a worker on letters begins at the first attempt")
		require.Equal(t, "mine", ds[0].Message.DedupeID)
		require.Equal(t, "v", ds[0].Message.Attributes["k"])
		got, _ := drivers.ParseFailure(ds[0].Message.Attributes)
		require.Equal(t, want, got)
		require.Nil(t, letters.Settle(t.Context(), []drivers.Settlement{{
			Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionRetry, Delayed: true, Released: true,
		}}))
		require.NoError(t, letters.Close())
	}
	letter(drivers.DeadLetter{Queue: "q", Attempt: 1, Failure: drivers.Failure{Reason: "boom"}})
	_, err := s.StartRedrive(t.Context(), 0)
	require.NoError(t, err)
	for want := 1; want <= 2; want++ {
		ds, err := s.Receive(t.Context(), 1, drivers.MaxWait)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.Equal(t, want, ds[0].Message.Attempt)
		require.Equal(t, "mine", ds[0].Message.DedupeID)
	}
	require.Empty(t, receive(t, s, 1))
	letter(drivers.DeadLetter{Queue: "q", Attempt: 2})
}

func TestCloseEndsTheWait(t *testing.T) {
	tg := target(t, "q")
	released := 0
	tg.Release = func() error { released++; return errors.New("release") }
	s, err := tg.OpenSource(t.Context(), nil)
	require.NoError(t, err)
	ended := make(chan error)
	go func() {
		_, err := s.Receive(context.Background(), 1, drivers.MaxWait)
		ended <- err
	}()
	require.EqualError(t, s.Close(), "release")
	require.NoError(t, s.Close())
	require.Equal(t, 1, released)
	select {
	case err := <-ended:
		require.ErrorIs(t, err, drivers.ErrClosed)
	case <-time.After(10 * time.Second):
		t.Fatal("the receive did not return")
	}
	for op, err := range map[string]error{
		"depth": second(s.Depth(t.Context())), "peek": second(s.Peek(t.Context(), 1, false)), "purge": s.Purge(t.Context(), false),
		"redrive": second(s.StartRedrive(t.Context(), 0)), "redrives": second(s.Redrives(t.Context())), "cancel": s.CancelRedrive(t.Context(), "h"),
		"letters": second(s.OpenDeadLetters(t.Context())), "back": second(s.OpenRedrive(t.Context())),
	} {
		require.ErrorIs(t, err, drivers.ErrClosed, op)
	}
}

func second[T any](_ T, err error) error { return err }

func TestClosedEngine(t *testing.T) {
	tg := target(t, "q")
	s, k := source(t, tg, nil), sink(t, tg)
	require.NoError(t, tg.Engine.Close())
	_, err := s.Receive(t.Context(), 1, 0)
	require.ErrorIs(t, err, drivers.ErrClosed)
	require.ErrorIs(t, k.Send(t.Context(), []*handler.Message{{}})[0], drivers.ErrClosed)
}

func TestSettlementsThatMakeNoSense(t *testing.T) {
	tg := target(t, "q")
	s := source(t, tg, nil)
	send(t, sink(t, tg), "a", "b", "c")
	ds := receive(t, s, 3)
	errs := s.Settle(t.Context(), []drivers.Settlement{
		{Receipt: ds[0].Receipt, Action: handler.ActionDeadLetter}, {Receipt: ds[1].Receipt, Action: 99}, {Receipt: ds[2].Receipt, Action: handler.ActionAck},
		{Receipt: "nonsense", Action: handler.ActionAck},
	})
	require.ErrorIs(t, errs[0], drivers.ErrInvalid)
	require.ErrorIs(t, errs[1], drivers.ErrInvalid)
	require.NoError(t, errs[2])
	require.ErrorIs(t, errs[3], drivers.ErrLeaseLost)
	d, err := s.Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, d.InFlight)
}

func TestMessageBelowZeroDelay(t *testing.T) {
	k := sink(t, target(t, "q"))
	bad := &handler.Message{Group: "g", Delay: -1}
	ms := []*handler.Message{{Group: "g"}, bad, {Group: "g"}, {Group: "h"}, {}}
	errs := k.Send(t.Context(), ms)
	require.ErrorIs(t, errs[1], drivers.ErrInvalid)
	require.ErrorIs(t, errs[2], drivers.ErrInvalid, "it would overtake the one before")
	for i, err := range errs {
		require.Equal(t, err == nil, ms[i].ID != "", i)
	}
	require.Len(t, errs, 5)
	require.Len(t, k.Send(t.Context(), []*handler.Message{bad}), 1)
}

func TestRemovedQueue(t *testing.T) {
	tg := target(t, "q")
	s := source(t, tg, nil)
	require.NoError(t, tg.Engine.Remove(t.Context(), "q"))
	_, err := s.Receive(t.Context(), 1, time.Second)
	require.ErrorIs(t, err, drivers.ErrNotFound)
	require.ErrorContains(t, err, `queue "q": receive`)
}

func TestRedriveOfSharedLettersIsRefused(t *testing.T) {
	tg := target(t, "a")
	a := source(t, tg, &Config{DeadLetter: "dead"})
	tg.Queue = "b"
	source(t, tg, &Config{DeadLetter: "dead"})
	_, err := a.StartRedrive(t.Context(), 0)
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, `queue "b"`)
}

func TestRedriveIsWatchedAndCanceled(t *testing.T) {
	tg := target(t, "q")
	s := source(t, tg, nil)
	k := sink(t, tg)
	send(t, k, "a", "b", "c")
	for _, d := range receive(t, s, 3) {
		require.Nil(t, s.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter}}))
	}
	task, err := s.StartRedrive(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, deadletter.Running, task.Status)
	require.EqualValues(t, 3, task.Total)
	_, err = s.StartRedrive(t.Context(), 1)
	require.ErrorIs(t, err, drivers.ErrInvalid, "one is running")
	require.NoError(t, s.CancelRedrive(t.Context(), task.ID))
	require.ErrorIs(t, s.CancelRedrive(t.Context(), task.ID), drivers.ErrNotFound)
	tasks, err := s.Redrives(t.Context())
	require.NoError(t, err)
	require.Equal(t, deadletter.Canceled, tasks[0].Status)
}
