package all_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/all"
)

// descriptors returns how many files the process has open, 0 if this system does not
// say.
func descriptors() int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(open)
}

func pause() { <-time.After(10 * time.Millisecond) }

// A source that is opened and closed a thousand times leaves no goroutine and no
// descriptor.
func TestOpeningAndClosingLeavesNothing(t *testing.T) {
	providers(t)
	file := filepath.ToSlash(filepath.Join(t.TempDir(), "queues.db"))
	mux := all.Mux()
	for _, url := range []string{
		"mem://orders",
		"sqlite://" + file + "?queue=orders",
		"awssqs:///orders?region=us-east-1",
		"gcppubsub://projects/p/subscriptions/orders",
	} {
		t.Run(url[:6], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			once := func(receive bool) {
				source, err := mux.OpenSource(ctx, url, nil)
				require.NoError(t, err)
				if receive {
					_, err := source.Receive(ctx, 1, 0)
					require.NoError(t, err)
				}
				require.NoError(t, source.Close())
			}
			// steady reports what there is once it has not changed for half a second.
			steady := func() (int, int) {
				g, f := runtime.NumGoroutine(), descriptors()
				for same := 0; same < 50; same++ {
					pause()
					if g2, f2 := runtime.NumGoroutine(), descriptors(); g2 != g || f2 != f {
						g, f, same = g2, f2, 0
					}
				}
				return g, f
			}
			// settled reports what is left once it is no more than allowed, or when
			// time is up: connections end in the background.
			settled := func(goroutines, files int) (int, int) {
				g, f := runtime.NumGoroutine(), descriptors()
				for range 500 {
					if g <= goroutines && f <= files {
						break
					}
					pause()
					g, f = runtime.NumGoroutine(), descriptors()
				}
				return g, f
			}
			const slack = 5 // of the server, which is in this process
			for range 10 {
				once(true)
			}
			goroutines, files := steady()
			for i := range 1000 {
				once(i%100 == 0)
			}
			g, f := settled(goroutines+slack, files+slack)
			require.LessOrEqual(t, g, goroutines+slack, "goroutines")
			require.LessOrEqual(t, f, files+slack, "descriptors")
		})
	}
}
