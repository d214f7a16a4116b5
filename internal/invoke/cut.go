package invoke

import (
	"context"

	"github.com/sluice-go/sluice/handler"
)

// CutShort reports whether a handler that was given ctx and returned err did not fail
// by itself: the consumer stops, or the lease is lost and another worker may have the
// message.
func CutShort(ctx context.Context, err error) bool {
	cause := context.Cause(ctx)
	for _, why := range []error{handler.ErrStopped, handler.ErrLeaseLost} {
		if Is(cause, why) || Is(err, why) {
			return true
		}
	}
	return false
}
