package redisclient

import (
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// afterStep returns t as the clocks would show it if the wall clock had been set by whole
// seconds before. It relies on how package time keeps a time with a monotonic reading:
// seconds from bit 30 of its first word on.
func afterStep(t time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(by/time.Second) << 30
	return t
}

// A clock that is set back must not make each connection look as if it were used before.
func TestASilenceEndsHoweverTheClockIsSet(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, step := range []time.Duration{0, -time.Hour, time.Hour} {
		s := silence{base: now}
		require.False(t, s.covers(now), "no call was without an answer")
		begun := now.Add(time.Minute)
		s.note(begun)
		before, after := afterStep(begun.Add(-time.Second), step), afterStep(begun.Add(time.Second), step)
		require.Equal(t, step, after.Round(0).Sub(begun.Round(0))-time.Second, "the wall clock was not set")
		require.True(t, s.covers(before), step)
		require.False(t, s.covers(begun), step)
		require.False(t, s.covers(after), step)
	}
}

func TestTheLatestSilenceCounts(t *testing.T) {
	t.Parallel()
	s := silence{base: time.Now()}
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() { s.note(s.base.Add(time.Duration(i) * time.Second)) })
	}
	calls.Wait()
	require.True(t, s.covers(s.base.Add(98*time.Second)))
	require.False(t, s.covers(s.base.Add(99*time.Second)))
}
