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
	// visibilityEvery is how often the queue's visibility timeout is asked for,
	// and visibilitySoon the shortest time between two of these requests after a
	// lease was lost unexpectedly.
	visibilityEvery = time.Minute
	visibilitySoon  = 5 * time.Second
	// visibilityTime bounds the request, for which one receive waits.
	visibilityTime = 5 * time.Second
	// leastLease takes the place of a visibility timeout of zero, with which a
	// message is visible again before it is here: SQS's default.
	leastLease = 30 * time.Second
)

// visibility is the lease that receives ask for. They always name it: the queue's
// own can change at any moment, and a receive that left it to the queue would not
// know what it got. A change is followed by the receives after it is noticed.
type visibility struct {
	reread.Schedule              // does not begin if Config has the lease
	lease           atomic.Int64 // nanoseconds
}

// leaseOf is the lease that a receive asks for if the queue's visibility timeout
// is d.
func leaseOf(d time.Duration) time.Duration {
	if d < time.Second {
		return leastLease
	}
	return d
}

// init sets the lease as the source is opened.
func (v *visibility) init(configured, queues time.Duration) {
	if configured > 0 {
		v.set(configured)
		return
	}
	v.set(leaseOf(queues))
	v.Begin(visibilityEvery, visibilitySoon, 0)
}

func (v *visibility) now() time.Duration { return time.Duration(v.lease.Load()) }

func (v *visibility) set(lease time.Duration) { v.lease.Store(int64(lease)) }

// lease returns the lease that a receive is to ask for. Now and then it asks for
// the queue's visibility timeout first. If that fails it stays as it was.
func (s *Source) lease(ctx context.Context, op string) time.Duration {
	lease := s.visibility.now()
	if !s.visibility.Due() {
		return lease
	}
	rctx, cancel := within(ctx, visibilityTime)
	defer cancel()
	as, err := s.attributes(rctx, op, types.QueueAttributeNameVisibilityTimeout)
	if err != nil {
		return lease
	}
	if n, err := strconv.Atoi(as[attrVisibility]); err == nil && n >= 0 {
		lease = leaseOf(time.Duration(n) * time.Second)
		s.visibility.set(lease)
	}
	return lease
}

// noteLost has the visibility timeout asked for soon if a lease was lost.
func (s *Source) noteLost(errs []error) {
	for _, err := range errs {
		if err != nil && drivers.CodeOf(err) == drivers.LeaseLost {
			s.visibility.Doubt()
			return
		}
	}
}
