package stopper

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSignalsEndStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := make(chan os.Signal, 3)
		var code atomic.Int32
		code.Store(-1)
		s := New(t.Context(), from, func(c int) { code.Store(int32(c)) }) //nolint:gosec // a status
		defer s.Close()
		synctest.Wait()
		require.NoError(t, s.Stop.Err())

		from <- os.Interrupt
		synctest.Wait()
		require.Error(t, s.Stop.Err())
		require.NoError(t, s.Now.Err())

		from <- os.Interrupt
		synctest.Wait()
		require.Error(t, s.Now.Err())
		<-time.After(Grace - time.Millisecond)
		require.EqualValues(t, -1, code.Load())
		<-time.After(2 * time.Millisecond)
		require.EqualValues(t, 1, code.Load(), "a program that does not end is ended")
	})
}

func TestACloseKeepsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := make(chan os.Signal, 3)
		s := New(t.Context(), from, func(int) { t.Error("the process was ended") })
		from <- os.Interrupt
		from <- os.Interrupt
		synctest.Wait()
		s.Close()
		<-time.After(2 * Grace)
	})
}

// A signal that timeout(1) sends twice, to the process and to its group, is one.
func TestASignalThatComesTwiceIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan os.Signal, 3)
		ctx, end := context.WithCancel(t.Context())
		defer end()
		out := distinct(ctx, in)
		in <- syscall.SIGTERM
		in <- syscall.SIGTERM
		require.Equal(t, syscall.SIGTERM, <-out)
		synctest.Wait()
		require.Empty(t, out)
		in <- os.Interrupt // another kind is another signal
		require.Equal(t, os.Interrupt, <-out)
		<-time.After(twice)
		in <- os.Interrupt
		require.Equal(t, os.Interrupt, <-out)
	})
}
