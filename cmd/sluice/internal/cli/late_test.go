package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A queue that is away is tried again and again, and what was opened is given up in the
// end.
func TestQueuesThatComeLateAreOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex // as the race detector wants it
		tries, open := make(map[string]int), make(map[string]bool)
		l := &late{log: slog.New(slog.DiscardHandler), every: time.Second, open: func(_ context.Context, name string) (func() error, error) {
			mu.Lock()
			defer mu.Unlock()
			tries[name]++
			if name == "never" || time.Since(began) < 3*time.Second {
				return nil, errors.New("away")
			}
			open[name] = true
			return func() error { open[name] = false; return nil }, nil
		}}
		pass := func(d time.Duration) { // and lock
			time.Sleep(d) //nolint:forbidigo // the bubble's time
			synctest.Wait()
			mu.Lock()
		}
		stop := l.start(t.Context(), []string{"orders", "never"})
		pass(3500 * time.Millisecond)
		require.Equal(t, map[string]int{"orders": 3, "never": 3}, tries)
		require.Equal(t, map[string]bool{"orders": true}, open)
		mu.Unlock()
		pass(2 * time.Second)
		require.Equal(t, map[string]int{"orders": 3, "never": 5}, tries, "what is open is left alone")
		mu.Unlock()
		require.NoError(t, stop())
		require.False(t, open["orders"])
	})
}
