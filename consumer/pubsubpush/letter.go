package pubsubpush

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// buryTimeout bounds the publishing of a letter, with its repetitions.
	buryTimeout = 20 * time.Second
	// buryTries is how often it is tried. Each failure after that costs another
	// run of the handler.
	buryTries  = 4
	firstPause = 100 * time.Millisecond
)

// buryContext is the context under which a letter is published: the request's, not
// the handler's, whose time may be up. A stop does not end it either, or the last
// rejections would all be lost to it.
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

// pause waits before another try, longer each time, and is false where ctx ended.
func pause(ctx context.Context, try int) bool {
	longest := firstPause << (try - 1)
	t := time.NewTimer(longest/2 + rand.N(longest/2)) //nolint:gosec // jitter is no secret
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
