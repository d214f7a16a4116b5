package seldom_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/seldom"
)

func TestOnceInAPeriod(t *testing.T) {
	var e seldom.Event
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		after  time.Duration
		missed int
		ok     bool
	}{
		{0, 0, true}, {time.Second, 0, false}, {59 * time.Second, 0, false},
		{time.Minute, 2, true}, {61 * time.Second, 0, false}, {5 * time.Minute, 1, true}, {7 * time.Minute, 0, true},
	} {
		missed, ok := e.Allow(start.Add(c.after), time.Minute)
		require.Equal(t, c.ok, ok, "after %v", c.after)
		require.Equal(t, c.missed, missed, "after %v", c.after)
	}
}
