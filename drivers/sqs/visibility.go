package sqs

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/reread"
)

const (
	// visibilityEvery is the time between two readings of the queue's visibility
	// timeout, and visibilitySoon the shortest time between two of them after a
	// lease was lost unexpectedly.
	visibilityEvery = time.Minute
	visibilitySoon  = 5 * time.Second
	// visibilityTime bounds the request, for which one receive waits.
	visibilityTime = 5 * time.Second
	// leastLease replaces a visibility timeout of zero, with which a message is
	// visible again before it arrives: SQS's default.
	leastLease = 30 * time.Second
)

// visibility is the lease that receives ask for. Each receive names its lease: the
// queue's own can change at any moment, and a receive that left it to the queue
// would not know the lease it got. Receives follow a change once it is noticed.
type visibility struct {
	reread.Schedule // does not begin if Config has the lease
	queue           *queue
	current         atomic.Int64 // nanoseconds
}

// leaseOf returns the lease that a receive asks for if the queue's visibility
// timeout is d.
func leaseOf(d time.Duration) time.Duration {
	if d < time.Second {
		return leastLease
	}
	return d
}

// begin sets the lease when the source is opened: the configured one, or the
// queue's if that is zero.
func (v *visibility) begin(q *queue, configured time.Duration) {
	v.queue = q
	if configured > 0 {
		v.set(configured)
		return
	}
	v.set(leaseOf(q.lease))
	v.Begin(visibilityEvery, visibilitySoon, 0)
}

func (v *visibility) now() time.Duration { return time.Duration(v.current.Load()) }

func (v *visibility) set(lease time.Duration) { v.current.Store(int64(lease)) }

// lease returns the lease that the next receive asks for. If a reading is due, it
// reads the queue's visibility timeout first; if that fails the lease stays as it
// was.
func (v *visibility) lease(ctx context.Context, op string) time.Duration {
	lease := v.now()
	if !v.Due() {
		return lease
	}
	rctx, cancel := within(ctx, visibilityTime)
	defer cancel()
	as, err := v.queue.attributes(rctx, op, types.QueueAttributeNameVisibilityTimeout)
	if err != nil {
		return lease
	}
	if n, err := strconv.Atoi(as[attrVisibility]); err == nil && n >= 0 {
		lease = leaseOf(time.Duration(n) * time.Second)
		v.set(lease)
	}
	return lease
}

// noteLost makes the next reading due soon if a lease was lost.
func (v *visibility) noteLost(errs []error) {
	for _, err := range errs {
		if err != nil && drivers.CodeOf(err) == drivers.LeaseLost {
			v.Doubt()
			return
		}
	}
}
