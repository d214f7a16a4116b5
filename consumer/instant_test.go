package consumer

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// afterStep returns t as the clocks would show it if the wall clock had been set forward
// by whole seconds before. It relies on how package time keeps a time with a monotonic
// reading: seconds from bit 30 of its first word on.
func afterStep(t time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(by/time.Second) << 30
	return t
}

// A deadline without a monotonic reading counts from the clocks of its receive, not from
// those of the process's start.
func TestADeadlineOfTheWallClockIsConvertedOnce(t *testing.T) {
	now := afterStep(time.Now(), time.Hour)
	require.Greater(t, now.Round(0).Sub(epoch.Round(0)), time.Hour)
	deadline := now.Add(time.Minute).Round(0).UTC()
	l := newLease(&source{}, &drivers.Delivery{Deadline: deadline}, now)
	require.Equal(t, time.Minute, l.left(now))
	require.True(t, deadline.Equal(l.when(now).Round(0)), "a handler sees the wall clock of the moment")
}

func TestInstants(t *testing.T) {
	require.Zero(t, at(time.Time{}))
	require.True(t, instant(0).time().IsZero())
	require.NotZero(t, at(epoch), "it is set")
	now := time.Now()
	require.True(t, now.Equal(at(now).time()))
	later := at(now).add(time.Second)
	require.Equal(t, time.Second, later.sub(at(now)))
	require.Greater(t, later.add(endless), later, "it does not overflow")
	require.Less(t, later.add(-time.Hour), later)
}
