package sqs

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
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
	fixed bool // by Config

	mu    sync.Mutex
	lease time.Duration
	next  time.Time // when it is asked for again
	last  time.Time // when it was asked for
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
	now := time.Now()
	v.fixed = configured > 0
	v.lease, v.last, v.next = leaseOf(queues), now, now.Add(visibilityEvery)
	if v.fixed {
		v.lease = configured
	}
}

// doubt has the visibility timeout asked for soon.
func (v *visibility) doubt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if soon := v.last.Add(visibilitySoon); soon.Before(v.next) {
		v.next = soon
	}
}

// due returns the lease as it is known, and whether the caller is to ask for it.
func (v *visibility) due() (lease time.Duration, ask bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.fixed || now.Before(v.next) {
		return v.lease, false
	}
	v.last, v.next = now, now.Add(visibilityEvery) // for the others
	return v.lease, true
}

func (v *visibility) set(lease time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lease = lease
}

// lease returns the lease that a receive is to ask for. Now and then it asks for
// the queue's visibility timeout first. If that fails it stays as it was.
func (s *Source) lease(ctx context.Context, op string) time.Duration {
	lease, ask := s.visibility.due()
	if !ask {
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
			s.visibility.doubt()
			return
		}
	}
}
