package pubsubpush

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/internal/sleep"
)

const (
	// buryTimeout bounds the publishing of a letter, including retries.
	buryTimeout = 20 * time.Second
	// buryTries is the number of tries. If all fail, the handler runs again.
	buryTries  = 4
	firstPause = 100 * time.Millisecond
)

// buryContext returns the context for publishing a letter. It derives from the
// request's, since the handler's may have ended. A stop does not end it, or the last
// rejections would all be lost.
func buryContext(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), buryTimeout)
	stop := context.AfterFunc(r.Context(), func() {
		if !stopped(r) {
			cancel()
		}
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// pause waits before another try, longer each time. It reports false if ctx ended.
func pause(ctx context.Context, try int) bool {
	longest := firstPause << (try - 1)
	return sleep.For(ctx, longest/2+rand.N(longest/2)) == nil //nolint:gosec // jitter needs no secrecy
}
