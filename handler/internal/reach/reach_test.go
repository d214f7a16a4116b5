package reach_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler/internal/reach"
)

func TestOneTriesAfterEachPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		g := reach.New("POST http://x", slog.New(slog.NewTextHandler(&text, nil)))
		pass := func(d time.Duration) { <-time.After(d) }
		enter := func(want bool) time.Duration {
			t.Helper()
			wait, ok := g.Enter()
			require.Equal(t, want, ok)
			return wait
		}
		admit := func(want int) <-chan struct{} {
			t.Helper()
			n, c := g.Admit(10)
			require.Equal(t, want, n)
			return c
		}
		enter(true)
		admit(10)
		require.NoError(t, g.Err())
		refused := errors.New("refused")
		require.Equal(t, 500*time.Millisecond, g.Failed(refused))
		require.Equal(t, 500*time.Millisecond, g.Failed(refused), "several at the same time count once")
		require.Equal(t, "POST http://x can't be reached: refused", g.Reason())
		require.Equal(t, 500*time.Millisecond, enter(false))
		c := admit(0)
		<-c
		admit(1)
		enter(true)
		enter(false) // another tries
		admit(0)
		require.Equal(t, time.Second, g.Failed(refused))
		pass(time.Second)
		enter(true)
		g.Left()
		enter(true) // the one before told nothing
		for range 20 {
			wait := g.Failed(refused)
			require.LessOrEqual(t, wait, 30*time.Second)
			pass(wait)
		}
		c = admit(1)
		require.Nil(t, c)
		enter(true)
		c = admit(0)
		g.Reached()
		<-c
		enter(true)
		admit(10)
		require.Empty(t, g.Reason())
		require.Equal(t, 1, strings.Count(text.String(), "can't be reached"))
		require.Equal(t, 1, strings.Count(text.String(), "reached again"))
	})
}
