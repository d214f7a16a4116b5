package reread_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/internal/reread"
)

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s reread.Schedule
		require.False(t, s.Due(), "it has not begun")
		s.Begin(time.Minute, 5*time.Second, 0)
		<-time.After(time.Minute - 1)
		require.False(t, s.Due())
		<-time.After(1)
		require.True(t, s.Due())
		require.False(t, s.Due(), "one caller reads")
		require.Equal(t, time.Minute, s.Left())

		s.Doubt()
		require.Equal(t, 5*time.Second, s.Left())
		<-time.After(5 * time.Second)
		require.True(t, s.Due())
		<-time.After(58 * time.Second)
		s.Doubt()
		require.True(t, s.Due(), "the shortest time is over")
	})
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s reread.Schedule
		least, most := time.Hour, time.Duration(0)
		for range 1000 {
			s.Begin(time.Minute, time.Second, 30*time.Second)
			least, most = min(least, s.Left()), max(most, s.Left())
		}
		require.InDelta(t, 45, least.Seconds(), 2)
		require.InDelta(t, 75, most.Seconds(), 2)
	})
}
