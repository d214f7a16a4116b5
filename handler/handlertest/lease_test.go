package handlertest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
)

// leaseOf binds a fresh lease by an own clock to a message.
func leaseOf(t *testing.T, length time.Duration) (*handlertest.Clock, *handlertest.Lease, context.Context) {
	t.Helper()
	clock := handlertest.NewClock(time.Unix(1000, 0))
	l := handlertest.NewLease(length, clock)
	return clock, l, l.Context(t.Context())
}

func TestKeepExtendsAtTheFraction(t *testing.T) {
	clock, l, ctx := leaseOf(t, 30*time.Second)
	var renewed []time.Time
	l.OnExtend(func(deadline time.Time) { renewed = append(renewed, deadline) })
	stop, err := l.Keep(handler.KeepOptions{Extension: time.Minute, Fraction: 0.25})
	require.NoError(t, err)
	kept, ok := l.Kept()
	require.True(t, ok)
	require.Equal(t, time.Minute, kept.Extension)

	clock.Advance(14 * time.Second)
	require.Empty(t, l.Extensions())
	clock.Advance(time.Second) // 15 s are left: a quarter of a minute
	require.Equal(t, []time.Time{time.Unix(1015+60, 0)}, l.Extensions())
	clock.Advance(10 * time.Minute)
	require.NoError(t, ctx.Err())
	require.Equal(t, l.Extensions(), renewed)
	require.Len(t, renewed, 1+13) // each 45 s after the one before

	stop()
	stop() // harmless
	_, ok = l.Kept()
	require.False(t, ok)
	clock.Advance(time.Hour)
	require.ErrorIs(t, context.Cause(ctx), handler.ErrLeaseLost)
	require.Len(t, renewed, 14)
}

func TestKeepEndsAfterMax(t *testing.T) {
	clock, l, ctx := leaseOf(t, time.Minute)
	_, err := l.Keep(handler.KeepOptions{Max: 2 * time.Minute})
	require.NoError(t, err)
	clock.Advance(2*time.Minute + 59*time.Second)
	require.NoError(t, ctx.Err())
	clock.Advance(time.Second)
	require.ErrorIs(t, context.Cause(ctx), handler.ErrLeaseLost)
}

func TestKeptLeaseSurvivesAPassingFailure(t *testing.T) {
	clock, l, ctx := leaseOf(t, time.Minute)
	_, err := l.Keep(handler.KeepOptions{})
	require.NoError(t, err)
	l.FailExtensions(errBoom)
	require.ErrorIs(t, l.Extend(t.Context(), time.Minute), errBoom)
	clock.Advance(50 * time.Second)
	l.FailExtensions(nil)
	clock.Advance(time.Hour)
	require.NoError(t, ctx.Err())

	l.FailExtensions(errBoom)
	clock.Advance(time.Minute)
	require.ErrorIs(t, context.Cause(ctx), handler.ErrLeaseLost)
	require.False(t, l.End())
}

func TestLoseTakesTheLeaseAway(t *testing.T) {
	_, l, ctx := leaseOf(t, time.Minute)
	l.Lose()
	require.ErrorIs(t, context.Cause(ctx), handler.ErrLeaseLost)
	require.ErrorIs(t, l.Extend(t.Context(), time.Minute), handler.ErrLeaseLost)
	stop, err := l.Keep(handler.KeepOptions{})
	require.ErrorIs(t, err, handler.ErrLeaseLost)
	stop()

	late := handlertest.NewLease(time.Minute, nil)
	late.Lose()
	require.ErrorIs(t, context.Cause(late.Context(t.Context())), handler.ErrLeaseLost)
}

func TestTheLatestKeepHolds(t *testing.T) {
	clock, l, _ := leaseOf(t, time.Minute)
	first, err := l.Keep(handler.KeepOptions{})
	require.NoError(t, err)
	_, err = l.Keep(handler.KeepOptions{Extension: time.Hour})
	require.NoError(t, err)
	first() // is no longer the one that counts
	clock.Advance(time.Minute)
	require.Equal(t, []time.Time{time.Unix(1000, 0).Add(time.Hour)}, l.Extensions())
}

func TestExtendSetsTheDeadlineFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := handlertest.NewLease(time.Minute, nil)
		renewed := make(chan time.Time, 1)
		l.OnExtend(func(deadline time.Time) { renewed <- deadline })
		<-time.After(30 * time.Second)
		require.NoError(t, l.Extend(t.Context(), 40*time.Second))
		require.Equal(t, time.Now().Add(40*time.Second), l.Deadline())
		require.Equal(t, l.Deadline(), <-renewed)
		done, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, l.Extend(done, time.Second), context.Canceled)
		require.True(t, l.End())
		require.ErrorIs(t, l.Extend(t.Context(), time.Second), handler.ErrLeaseLost)
		require.Len(t, l.Extensions(), 1)
	})
}
