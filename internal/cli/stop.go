package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// A stopper turns signals into the end of contexts: the first asks to stop, the
// second to stop at once.
type stopper struct {
	// ctx ends at the first signal, now at the second.
	ctx, now   context.Context
	stop, kill context.CancelFunc
	restore    func()
}

// newStopper listens to signals; nil are SIGINT and SIGTERM of the process.
func newStopper(ctx context.Context, signals <-chan os.Signal) *stopper {
	s := &stopper{restore: func() {}}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.now, s.kill = context.WithCancel(ctx)
	if signals == nil {
		own := make(chan os.Signal, 2)
		signal.Notify(own, os.Interrupt, syscall.SIGTERM)
		s.restore = func() { signal.Stop(own) }
		signals = own
	}
	go func() {
		for _, end := range []context.CancelFunc{s.stop, s.kill} {
			select {
			case <-signals:
				end()
			case <-ctx.Done():
				return
			}
		}
	}()
	return s
}

func (s *stopper) close() {
	s.restore()
	s.kill()
	s.stop()
}
