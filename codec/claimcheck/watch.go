package claimcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// silence is how long a bucket may send nothing: no answer, or no byte of a body.
	// Without it, a read from a dead connection would last as long as the lease.
	silence = 30 * time.Second
	// slowest is the rate, in bytes a second, for which an upload has time in
	// addition: no client reports its progress.
	slowest = 128 << 10
)

var errSilent = errors.New("the bucket does not answer")

// A watch ends a context when a bucket is silent.
type watch struct {
	ctx    context.Context //nolint:containedctx // it is what the watch is about
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// watched returns a watch for the requests made with its context. The first of them
// may be silent for limit. The caller must end it.
func watched(ctx context.Context, limit time.Duration) *watch {
	w := &watch{}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() { w.cancel(fmt.Errorf("%w within %v", errSilent, limit.Round(time.Second))) })
	return w
}

// heard stops the watch until a next wait.
func (w *watch) heard() { w.timer.Stop() }

func (w *watch) wait() { w.timer.Reset(silence) }

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// why returns err, with the reason if the bucket was silent.
func (w *watch) why(err error) error {
	if cause := context.Cause(w.ctx); err != nil && invoke.Is(cause, errSilent) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// A watchedReader is a body that is read under a watch.
type watchedReader struct {
	io.ReadCloser
	watch  *watch
	size   int64
	bucket *Bucket
}

// Read implements io.Reader.
func (r *watchedReader) Read(p []byte) (int, error) {
	r.watch.wait()
	n, err := r.ReadCloser.Read(p)
	r.watch.heard()
	if err != nil && !invoke.Is(err, io.EOF) {
		err = r.watch.why(err)
	}
	return n, err
}

// Close implements io.Closer.
func (r *watchedReader) Close() error {
	defer r.watch.end()
	return r.ReadCloser.Close()
}
