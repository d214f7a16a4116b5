package scan

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
)

// ErrFewAttempts is the cause of a refusal to look at letters that a look may move on.
var ErrFewAttempts = errors.New("looking may move letters on")

// Open opens the dead-letter queue of a queue for a [Scan]. It refuses one that moves
// letters on to a dead-letter queue of its own after a few deliveries, unless spend is true:
// each letter that a scan sees is delivered. Every scan of letters opens its queue by it.
func Open(ctx context.Context, opener deadletter.Opener, spend bool) (drivers.Source, error) {
	dead, err := opener.OpenDeadLetters(ctx)
	if err != nil {
		return nil, err
	}
	c := dead.Capabilities()
	if n, few := deadletter.LookAttempts(c); few && !spend {
		err := &drivers.Error{Code: drivers.Invalid, Queue: c.Queue, Op: "look at dead letters", Err: fmt.Errorf(
			"%w: the queue allows a letter %d deliveries, of which a look is one, and has a dead-letter queue of its own", ErrFewAttempts, n)}
		return nil, errors.Join(err, dead.Close())
	}
	return dead, nil
}
