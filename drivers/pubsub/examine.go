package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/internal/lookonly"
)

// examine implements [Opener.Examine].
func examine(ctx context.Context, o *Opener, u *url.URL) (*provision.State, error) {
	w, err := wishFor(u, &provision.Spec{})
	if err != nil {
		return nil, err
	}
	so, err := sourceOptions(w.sub, u.Query(), nil)
	if err != nil {
		return nil, err
	}
	if so.DeadLetterSubscription != "" {
		if w.deadSub, err = parseNameIn(w.sub.project, kindSubscription, so.DeadLetterSubscription); err != nil {
			return nil, invalid(w.sub, "examine", err)
		}
	}
	c, err := dial(ctx, w.sub, u.Query().Get(paramEndpoint), o.ClientOptions)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.release() }() // it has only read
	e := &examination{planner: &planner{clients: c, wish: w, number: o.numberOf}, state: &provision.State{
		Queue: w.sub.id, MaxRetention: maxRetention, AttemptsLimit: maxAttempts,
	}}
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	e.sub, err = c.subscriptions.GetSubscription(tctx, &pubsubpb.GetSubscriptionRequest{Subscription: w.sub.String()}, once)
	if err != nil {
		return nil, wrap(ctx, w.sub, "examine", err)
	}
	e.own(so.AckDeadline)
	return e.state, wrap(ctx, w.sub, "examine", errors.Join(e.age(tctx), e.deadLetter(tctx)))
}

// An examination gathers the facts about one queue.
type examination struct {
	*planner
	sub   *pubsubpb.Subscription
	state *provision.State
}

// own looks at the queue's own subscription. lease is the URL's, if it has one.
func (e *examination) own(lease time.Duration) {
	s := e.state
	if s.Lease = lease; lease == 0 {
		s.Lease = deadlineOf(e.sub)
	}
	s.Retention, s.Ordered = retentionOf(e.sub), e.sub.EnableMessageOrdering
	if e.sub.Topic == deletedTopic || e.sub.Detached {
		s.Fault(provision.TopicMissing, "the subscription's topic was deleted, or the subscription was detached from it")
	}
	e.expiry(e.wish.sub, e.sub)
	if e.sub.RetryPolicy == nil {
		s.Fault(provision.NoRetryPolicy, "the subscription has no retry policy")
	}
	if e.wish.filter != "" && e.sub.Filter != e.wish.filter {
		s.Fault(provision.NoRedriveFilter, fmt.Sprintf("the subscription's filter is %q, which lets the redrives of other subscriptions through", e.sub.Filter))
	}
}

func (e *examination) expiry(n name, sub *pubsubpb.Subscription) {
	if ttl := expirationOf(sub); ttl > 0 {
		e.state.Fault(provision.Expires, fmt.Sprintf("subscription %s is deleted when nobody uses it for %v", n.id, ttl))
	}
}

// age reads the age of the oldest message from Cloud Monitoring. An advisory
// question must not keep the others from being asked.
func (e *examination) age(ctx context.Context) error {
	b, err := monitor{e.clients}.monitored(ctx, e.wish.sub)
	if err != nil {
		return ctx.Err()
	}
	e.state.OldestAge = b.oldest
	return nil
}

// deadLetter looks at the dead-letter policy and at the resources that it needs.
func (e *examination) deadLetter(ctx context.Context) error {
	topic := e.sub.GetDeadLetterPolicy().GetDeadLetterTopic()
	if topic == "" {
		return nil
	}
	attempts := e.sub.DeadLetterPolicy.MaxDeliveryAttempts
	if attempts == 0 {
		attempts = defaultMaxAttempts
	}
	e.state.DeadLetter = &provision.DeadLetterState{Name: topic, MaxAttempts: int(attempts)}
	gone := topic == deletedTopic
	if !gone {
		var err error
		if e.wish.dead, err = parseName(topic); err != nil {
			return invalid(e.wish.sub, "examine", err)
		}
		t, err := e.findTopic(ctx, e.wish.dead)
		if err != nil && !errors.Is(err, drivers.ErrDenied) {
			return err
		}
		gone = t == nil && err == nil
	}
	if gone {
		e.state.Fault(provision.DeadLetterMissing, "the dead-letter policy names a topic that does not exist: "+topic)
		return nil
	}
	if err := e.grants(ctx); err != nil {
		return err
	}
	return e.letterReader(ctx)
}

// grants looks whether the service itself may forward letters.
func (e *examination) grants(ctx context.Context) error {
	is := anyAgent.MatchString
	member, err := granter{e.planner}.agentOf(ctx)
	switch {
	case errors.Is(err, errNoPolicies):
		return nil
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		is = func(m string) bool { return m == member }
	default:
		member = agent("PROJECT_NUMBER") // any project's will do
	}
	for _, g := range []struct {
		on         name
		role, does string
	}{{e.wish.dead, rolePublisher, "publish to the dead-letter topic"}, {e.wish.sub, roleSubscriber, "acknowledge the messages that it forwards"}} {
		policy, err := granter{e.planner}.accessPolicy(ctx, g.on)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue // not known
		}
		if !granted(policy, g.role, is) {
			e.state.Faults = append(e.state.Faults, provision.Fault{Kind: provision.GrantsMissing, Command: grantCommand(g.on, g.role, member),
				Fact: fmt.Sprintf("Pub/Sub's service agent cannot %s: %s is not granted to %s on %s %s (a grant on the whole project is not visible)",
					g.does, g.role, member, g.on.kind, g.on.id)})
		}
	}
	return nil
}

// letterReader looks at the subscription on the dead-letter topic.
func (e *examination) letterReader(ctx context.Context) error {
	w := e.wish
	if w.deadSub.zero() {
		subs, err := subscriptionsOf(ctx, e.topics.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: w.dead.String()}, once))
		if err != nil {
			return wrap(ctx, w.dead, "examine", err)
		}
		if len(subs) == 0 {
			e.state.Fault(provision.DeadLetterUnread, fmt.Sprintf("the dead-letter topic %s has no subscription", w.dead.id))
			return nil
		}
		if w.deadSub, err = chooseLetters(w.dead, subs); err != nil {
			return nil //nolint:nilerr // several, for whoever: which of them is ours is not known
		}
	}
	dead, err := e.findSubscription(ctx, w.deadSub)
	if err != nil {
		return err
	}
	d := e.state.DeadLetter
	d.Name = w.deadSub.id
	if dead == nil || dead.Topic != w.dead.String() {
		e.state.Fault(provision.DeadLetterUnread, fmt.Sprintf("%s, which should receive the dead letters, is not a subscription of %s", w.deadSub.id, w.dead.id))
		return nil
	}
	e.expiry(w.deadSub, dead)
	d.Retention = retentionOf(dead)
	if e.sub.EnableMessageOrdering && !dead.EnableMessageOrdering {
		e.state.Fault(provision.DeadLetterUnordered, fmt.Sprintf("the subscription is ordered, but %s is not; ordering cannot be changed: delete that subscription when it is empty", w.deadSub.id))
	}
	if err := e.letters(ctx); err != nil {
		return err
	}
	ok, err := watched(ctx, e.clients, w.deadSub)
	if err != nil {
		return ctx.Err() // Cloud Monitoring can't be asked
	}
	d.Unwatched = !ok
	return nil
}

// letters counts the dead letters and looks at some.
func (e *examination) letters(ctx context.Context) error {
	count := int64(drivers.Unknown)
	if b, err := (monitor{e.clients}).monitored(ctx, e.wish.deadSub); err == nil {
		count = b.visible + max(b.inFlight, 0)
		e.state.DeadLetter.OldestAge = max(b.oldest, 0)
	} else if ctx.Err() != nil {
		return ctx.Err()
	}
	wait := peekWait
	if count == 0 {
		wait = 0 // the number may be some minutes old
	}
	if lookonly.Asked(ctx) {
		e.state.DeadLetter.Letters = max(count, 0)
		return nil
	}
	dead, err := newSource(ctx, e.share(), e.wish.deadSub, nil)
	if err != nil {
		return err
	}
	defer func() { _ = dead.Close() }() // it has settled nothing
	if dead.Capabilities().MaxAttempts > 0 {
		// A look could move a letter on to a dead-letter topic of its own.
		e.state.DeadLetter.Letters = max(count, 0)
		return nil
	}
	sample, err := dead.inspector.take(ctx, "examine", e.wish.deadSub, provision.SampledLetters, wait)
	if err != nil && !errors.Is(err, drivers.ErrDenied) {
		return err
	}
	d := e.state.DeadLetter
	d.Letters = max(count, int64(len(sample)), 0)
	for _, rm := range sample {
		d.Ages = append(d.Ages, time.Since(rm.GetMessage().GetPublishTime().AsTime()))
	}
	return nil
}
