package pubsubtest

import (
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pstest accepts at most the seven days that the service once allowed, and
// keeps messages for ten minutes in any case.
const (
	pstestRetention  = 7 * 24 * time.Hour
	serviceRetention = 31 * 24 * time.Hour
)

// retentions remembers the subscriptions whose retention is longer than pstest
// accepts.
type retentions struct {
	mu  sync.Mutex
	set map[string]*durationpb.Duration // by subscription
}

// accept returns the subscription to give to pstest instead of sub, and the
// retention to remember: nil if pstest accepts it, or if the service would not.
func (*retentions) accept(sub *pubsubpb.Subscription) (*pubsubpb.Subscription, *durationpb.Duration) {
	long := sub.GetMessageRetentionDuration()
	if long == nil || long.AsDuration() <= pstestRetention || long.AsDuration() > serviceRetention {
		return sub, nil
	}
	short := proto.CloneOf(sub)
	short.MessageRetentionDuration = durationpb.New(pstestRetention)
	return short, long
}

func (r *retentions) remember(subscription string, long *durationpb.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if long == nil {
		delete(r.set, subscription)
		return
	}
	if r.set == nil {
		r.set = make(map[string]*durationpb.Duration)
	}
	r.set[subscription] = long
}

// restore returns a subscription with the retention that was remembered.
func (r *retentions) restore(sub *pubsubpb.Subscription) *pubsubpb.Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	long := r.set[sub.GetName()]
	if long == nil {
		return sub
	}
	sub = proto.CloneOf(sub)
	sub.MessageRetentionDuration = long
	return sub
}

// sets reports whether an update is about the retention.
func (*retentions) sets(r *pubsubpb.UpdateSubscriptionRequest) bool {
	return slices.Contains(r.GetUpdateMask().GetPaths(), "message_retention_duration")
}
