package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

func run(t *testing.T, r *rig, o *redrive.Options) redrive.Result {
	t.Helper()
	got, err := redrive.Run(t.Context(), r.source, o)
	require.NoError(t, err)
	return got
}

func TestEverythingGoesBackNatively(t *testing.T) {
	t.Parallel()
	r := onSQS(t, serve(t, nil), provision.Spec{})
	r.letters(t, 25) // rejected explicitly: SQS knows no source of theirs
	var seen []redrive.Result
	got := run(t, r, &redrive.Options{Progress: func(r redrive.Result) { seen = append(seen, r) }})
	require.Equal(t, redrive.Native, got.Mode)
	require.EqualValues(t, 25, got.Moved)
	require.Equal(t, deadletter.Completed, got.Task.Status)
	require.NotEmpty(t, seen)
	require.Equal(t, got, seen[len(seen)-1])
	require.Equal(t, 1, r.server.Counts()["StartMessageMoveTask"])
	require.Empty(t, r.left(t))
	for _, m := range drain(t, r.source) {
		require.Equal(t, 1, m.Attempt)
	}
}

// The provider's own redrive looks at no letter, so that what wants a look at
// each is not its business; and what is not its own nobody carries on.
func TestWhatANativeRedriveCannotDo(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 1)
		got := run(t, r, &redrive.Options{MaxRedrives: 1})
		require.Equal(t, redrive.Selective, got.Mode)
		require.EqualValues(t, 1, got.Moved)
		_, err := redrive.Run(t.Context(), r.source, &redrive.Options{Detach: true, Max: 1})
		require.ErrorIs(t, err, drivers.ErrUnsupported)
		require.ErrorContains(t, err, "carry it on")
		_, err = redrive.Run(t.Context(), r.source, &redrive.Options{Detach: true})
		if r.source.Capabilities().NativeRedrive {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, drivers.ErrUnsupported)
		}
	})
}

func TestEverythingGoesBackWhereTheProviderHasNoMeans(t *testing.T) {
	t.Parallel()
	r := onPubSub(t)
	r.letters(t, 25)
	got := run(t, r, nil)
	require.Equal(t, redrive.Selective, got.Mode)
	require.EqualValues(t, 25, got.Moved)
	require.EqualValues(t, 25, got.Seen)
	require.Empty(t, r.left(t))
	require.Len(t, drain(t, r.source), 25)
}

func TestARunningTaskIsWatched(t *testing.T) {
	t.Parallel()
	r := onSQS(t, serve(t, nil), provision.Spec{})
	r.letters(t, 10) // ten seconds' worth, so that the task runs when it is found
	begun, err := redrive.Run(t.Context(), r.source, &redrive.Options{Rate: 1, Detach: true})
	require.NoError(t, err)
	require.Equal(t, deadletter.Running, begun.Task.Status)
	got := run(t, r, nil)
	require.Equal(t, redrive.Native, got.Mode)
	require.EqualValues(t, 10, got.Moved)
}

func TestTheEndOfTheContextCancelsTheTask(t *testing.T) {
	t.Parallel()
	r := onSQS(t, serve(t, nil), provision.Spec{})
	r.letters(t, 20)
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := errors.New("the operator has thought better of it")
	got, err := redrive.Run(ctx, r.source, &redrive.Options{Rate: 1, Progress: func(redrive.Result) { cancel(asked) }})
	require.ErrorIs(t, err, asked)
	require.Less(t, got.Moved, int64(20))
	require.Equal(t, 1, r.server.Counts()["CancelMessageMoveTask"])
	tasks, err := r.source.(deadletter.Redriver).Redrives(t.Context())
	require.NoError(t, err)
	require.Len(t, tasks, 1)
	require.Eventually(t, func() bool {
		tasks, err = r.source.(deadletter.Redriver).Redrives(t.Context())
		return err == nil && tasks[0].Status == deadletter.Canceled
	}, 10*time.Second, 20*time.Millisecond)
	back := drain(t, r.source)
	require.Equal(t, 20, len(back)+len(r.left(t)), "none is lost")
}

func TestFilters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options redrive.Options
		want    []string
	}{
		"attribute":           {redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "true"}}}, []string{"0", "3", "6", "9"}},
		"attributes, all":     {redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "true", "n": "6"}}}, []string{"6"}},
		"attribute of none":   {redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "maybe"}}}, []string{}},
		"attribute and limit": {redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"n": "7"}}, Max: 3}, []string{"7"}},
		"rate":                {redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "true"}}, Rate: 1000}, []string{"0", "3", "6", "9"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, r *rig) {
				r.letters(t, 12)
				o := c.options
				got := run(t, r, &o)
				require.Equal(t, redrive.Selective, got.Mode)
				require.EqualValues(t, len(c.want), got.Moved)
				require.Equal(t, c.want, bodies(drain(t, r.source)))
				require.Len(t, r.left(t), 12-len(c.want), "the others can be seen again at once")
			})
		})
	}
}

func TestLimitAndIDs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 12)
		var ids []string
		dry := run(t, r, &redrive.Options{DryRun: true, Found: func(m *handler.Message) { ids = append(ids, m.ID) }})
		require.EqualValues(t, 12, dry.Moved)
		require.Len(t, ids, 12)
		require.Empty(t, drain(t, r.source), "a dry run brings nothing back")

		got := run(t, r, &redrive.Options{Filter: letters.Filter{IDs: []string{ids[3], ids[5], ids[3]}}})
		require.EqualValues(t, 2, got.Moved)
		got = run(t, r, &redrive.Options{Max: 4})
		require.EqualValues(t, 4, got.Moved)
		require.EqualValues(t, 4, got.Seen, "no letter is received for nothing")
		require.Len(t, drain(t, r.source), 6)
		require.Len(t, r.left(t), 6)
	})
}

func TestWhatComesBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		own := map[string]string{"k": "v"}
		r.reject(t, &handler.Message{Body: []byte{0, 255, '{'}, DedupeID: "order-1", Attributes: own})
		for round := 1; round <= redrive.DefaultMaxRedrives; round++ {
			require.EqualValues(t, 1, run(t, r, &redrive.Options{Filter: letters.Filter{Attributes: own}}).Moved)
			d := receive(t, r.source, 1)[0]
			m := d.Message
			require.Equal(t, []byte{0, 255, '{'}, m.Body)
			require.Equal(t, "order-1", m.DedupeID)
			require.Equal(t, "v", m.Attributes["k"])
			require.NotContains(t, m.Attributes, drivers.AttributeDeadLetterReason)
			require.Equal(t, fmt.Sprint(round), m.Attributes[deadletter.AttributeRedriveCount])
			require.LessOrEqual(t, m.Attempt, 1, "attempts begin anew")
			h := history(t, m)
			require.Len(t, h, round)
			require.Equal(t, "poison", h[0]["reason"])
			require.Equal(t, "me", h[0]["consumer"])
			require.Nil(t, r.source.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: m, Action: handler.ActionDeadLetter,
				Failure: &drivers.Failure{Reason: "again"}}}))
		}
		// It is not played back and forth for ever.
		got := run(t, r, &redrive.Options{Filter: letters.Filter{Attributes: own}})
		require.Zero(t, got.Moved)
		require.EqualValues(t, 1, got.Refused)
		got = run(t, r, &redrive.Options{Filter: letters.Filter{Attributes: own}, MaxRedrives: -1})
		require.EqualValues(t, 1, got.Moved, "unless that is wanted")
	})
}

func TestOnlyLettersOfOneSource(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	shared := &provision.DeadLetter{Name: "shared", MaxAttempts: 1}
	a, b := onSQS(t, s, provision.Spec{DeadLetter: shared, VisibilityTimeout: time.Second}), onSQS(t, s, provision.Spec{DeadLetter: shared})
	a.letters(t, 3)
	b.letters(t, 4)
	// One that SQS dead-letters itself has no failure attributes.
	require.Nil(t, a.sink.Send(t.Context(), []*handler.Message{{Body: []byte("native")}}))
	receive(t, a.source, 1)
	require.Eventually(t, func() bool {
		// SQS moves it at the receive after the last.
		ds, err := a.source.Receive(t.Context(), 1, 0)
		d, err2 := a.source.(drivers.Inspector).Depth(t.Context())
		return err == nil && err2 == nil && len(ds) == 0 && d.DeadLetters == 8
	}, 20*time.Second, 50*time.Millisecond)

	_, err := redrive.Run(t.Context(), a.source, nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "whose source is "+a.name)
	got := run(t, a, &redrive.Options{Filter: letters.Filter{Queue: a.name}})
	require.EqualValues(t, 4, got.Moved)
	require.Equal(t, []string{"0", "1", "2", "native"}, bodies(drain(t, a.source)))
	require.Empty(t, drain(t, b.source))
	require.Len(t, a.left(t), 4)
}

func TestGroupsInOrder(t *testing.T) {
	t.Parallel()
	r := onSQS(t, serve(t, nil), provision.Spec{FIFO: true})
	for i := range 6 {
		r.reject(t, &handler.Message{Body: []byte(fmt.Sprint(i)), Group: "g" + fmt.Sprint(i%2), DedupeID: fmt.Sprint("d", i),
			Attributes: map[string]string{"group": fmt.Sprint(i % 2), "n": fmt.Sprint(i)}})
	}
	got := run(t, r, &redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"group": "1"}}})
	require.EqualValues(t, 3, got.Moved, "the dedupe window of five minutes does not swallow them")
	require.True(t, got.Hidden, "the other group was held")
	ms := drain(t, r.source)
	require.Len(t, ms, 3)
	for i, m := range ms {
		require.Equal(t, fmt.Sprint(2*i+1), string(m.Body), "the order of the group")
		require.Equal(t, "g1", m.Group)
		require.Equal(t, fmt.Sprint("d", 2*i+1), m.DedupeID)
	}
	require.Equal(t, []string{"0", "2", "4"}, r.left(t))
}

func TestWhatFailsForTheMomentIsTriedAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 12)
		f := &flaky{Source: r.source}
		f.letters.FailNext(drivertest.OpReceive, 2, is(drivers.Throttled))
		f.letters.FailNext(drivertest.OpSettle, 1, is(drivers.Transient))
		f.letters.FailNext(drivertest.OpExtend, 1, is(drivers.Transient))
		f.back.FailNext(drivertest.OpSend, 1, is(drivers.Throttled))
		got, err := redrive.Run(t.Context(), f, &redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "true"}}})
		require.NoError(t, err)
		require.EqualValues(t, 4, got.Moved)
		require.Zero(t, got.Doubled)
		require.Equal(t, 2, f.letters.Failures(drivertest.OpReceive))
		require.Equal(t, 1, f.letters.Failures(drivertest.OpSettle))
		require.Equal(t, 1, f.letters.Failures(drivertest.OpExtend))
		require.Equal(t, 1, f.back.Failures(drivertest.OpSend))
		require.Equal(t, []string{"0", "3", "6", "9"}, bodies(drain(t, r.source)))
		require.Len(t, r.left(t), 8)
	})
}

func TestALetterThatIsNeverTakenStays(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 12)
		f := &flaky{Source: r.source}
		f.back.FailEntries(drivertest.OpSend, func(e drivertest.Entry) error {
			if string(e.Message.Body) == "5" {
				return is(drivers.Invalid)
			}
			return nil
		})
		got, err := redrive.Run(t.Context(), f, &redrive.Options{Max: 100})
		require.ErrorContains(t, err, "1 letters cannot be sent back")
		require.EqualValues(t, 11, got.Moved)
		require.EqualValues(t, 1, got.Failed)
		require.Equal(t, 1, f.back.Failures(drivertest.OpSend))
		require.Len(t, drain(t, r.source), 11)
		require.Equal(t, []string{"5"}, r.left(t))
	})
}

func TestALetterThatCannotBeDeletedIsDoubledAndSaidToBe(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 3)
		f := &flaky{Source: r.source}
		f.letters.FailEntries(drivertest.OpSettle, func(e drivertest.Entry) error {
			if e.Action == handler.ActionAck && string(e.Message.Body) == "1" {
				return is(drivers.Denied)
			}
			return nil
		})
		got, err := redrive.Run(t.Context(), f, &redrive.Options{Max: 100})
		require.ErrorIs(t, err, drivers.ErrDenied)
		require.ErrorContains(t, err, "sent back and could not be deleted")
		require.EqualValues(t, 1, got.Doubled)
		require.Equal(t, 1, f.letters.Failures(drivertest.OpSettle))
		require.Contains(t, bodies(drain(t, r.source)), "1")
	})
}

func TestALostAnswerLosesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 4)
		f := &flaky{Source: r.source}
		f.back.LoseNext(drivertest.OpSend, 1, is(drivers.Transient))
		got, err := redrive.Run(t.Context(), f, &redrive.Options{Max: 100})
		require.NoError(t, err)
		require.Equal(t, 1, f.back.Failures(drivertest.OpSend))
		require.EqualValues(t, 4, got.Moved)
		count := map[string]int{}
		for _, m := range drain(t, r.source) {
			count[string(m.Body)]++
		}
		require.Len(t, count, 4)
		require.Empty(t, r.left(t))
	})
}

func TestTheEndOfTheContextGivesLettersBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 30)
		ctx, cancel := context.WithCancel(t.Context())
		got, err := redrive.Run(ctx, r.source, &redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "true"}}, Rate: 5,
			Progress: func(r redrive.Result) {
				if r.Moved > 0 {
					cancel()
				}
			}})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, "context canceled", err.Error(), "and nothing else went wrong")
		require.NotZero(t, got.Moved)
		back := drain(t, r.source)
		require.Len(t, back, int(got.Moved))
		require.Len(t, r.left(t), 30-len(back))
	})
}

func TestAnOutageEndsIt(t *testing.T) {
	t.Parallel()
	r := onSQS(t, serve(t, nil), provision.Spec{})
	r.letters(t, 3)
	f := &flaky{Source: r.source}
	f.back.Outage(is(drivers.Transient))
	got, err := redrive.Run(t.Context(), f, &redrive.Options{Max: 3})
	require.ErrorIs(t, err, drivers.ErrTransient)
	require.Greater(t, f.back.Failures(drivertest.OpSend), 3, "it was tried for a while")
	require.Zero(t, got.Moved)
	require.Len(t, r.left(t), 3)
}

func TestNoDeadLetters(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	letters := onSQS(t, s, provision.Spec{}).name + "-dlq" // has none of its own
	r := &rig{name: letters, server: s}
	u := "awssqs:///" + letters + "?endpoint=" + s.URL()
	r.open(t, u, u)
	for name, o := range map[string]*redrive.Options{"native": nil, "selective": {Max: 1}} {
		_, err := redrive.Run(t.Context(), r.source, o)
		require.ErrorIs(t, err, drivers.ErrUnsupported, name)
		require.ErrorContains(t, err, "configuration", name)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := redrive.Run(t.Context(), nil, &redrive.Options{Max: -1, Rate: -2, Hold: -time.Second})
	for _, name := range []string{"Max", "Rate", "Hold"} {
		require.ErrorContains(t, err, name)
	}
}

// A scan that lasts longer than letters are held sees them again, and ends.
func TestLettersThatComeAgain(t *testing.T) {
	t.Parallel()
	clock := sqstest.NewManualClock(time.Now())
	s := serve(t, &sqstest.Config{Clock: clock})
	r := onSQS(t, s, provision.Spec{})
	r.letters(t, 10)
	got := run(t, r, &redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "true"}}, Hold: time.Minute,
		Progress: func(redrive.Result) { clock.Advance(2 * time.Minute) }})
	require.EqualValues(t, 4, got.Moved)
	require.EqualValues(t, 10, got.Seen)
}

// An interrupt lets the request that is on its way finish, so that no letter is in both places, and
// makes no other.
func TestAnInterruptDoublesNoLetter(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, r *rig) {
		r.letters(t, 4)
		ctx, cancel := context.WithCancel(t.Context())
		got, err := redrive.Run(ctx, &interrupting{r.source, cancel}, &redrive.Options{MaxRedrives: 3, Rate: 2})
		require.ErrorIs(t, err, context.Canceled)
		require.Positive(t, got.Moved)
		require.Less(t, got.Moved, int64(4))
		require.Len(t, r.left(t), 4-int(got.Moved))
		require.Len(t, drain(t, r.source), int(got.Moved))
	})
}
