package console

import (
	"context"
	"sync"
)

// work runs what viewers have started until the console ends. Its methods may be called
// concurrently.
type work struct {
	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // it is Run's, for work that outlives its request
	group sync.WaitGroup
}

// open lets work run under ctx.
func (w *work) open(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = ctx
}

// Go calls do on a goroutine. Before Run and after its end do gets a context that has
// ended.
func (w *work) Go(do func(context.Context)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := w.ctx
	if ctx == nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		ctx = ended
	}
	w.group.Go(func() { do(ctx) })
}

// wait waits for all work to end.
func (w *work) wait() { w.group.Wait() }
