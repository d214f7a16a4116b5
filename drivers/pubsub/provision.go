package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-go/sluice/drivers/provision"
)

// planFor implements [Opener.Plan].
func planFor(ctx context.Context, o *Opener, u *url.URL, s *provision.Spec) (*provision.Plan, error) {
	w, err := wishFor(u, s)
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, w.sub, u.Query().Get(paramEndpoint), o.ClientOptions)
	if err != nil {
		return nil, err
	}
	p := &planner{clients: c, wish: w, number: o.numberOf}
	// Every request has been answered when the plan is closed, so that an error of
	// closing the connection says nothing.
	p.Release = func() { _ = c.release() }
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	err = p.plan(tctx)
	if err == nil {
		p.Alerts, err = alerts(p, s.Alarms)
	}
	if err != nil {
		p.Close()
		return nil, wrap(ctx, w.sub, "plan", err)
	}
	return &p.Plan, nil
}

// A planner compares resources as they are with those that are wished.
type planner struct {
	provision.Plan
	*clients
	wish   *wish
	number func(ctx context.Context, project string) (string, error)
}

func (p *planner) plan(ctx context.Context) error {
	w := p.wish
	sub, err := p.findSubscription(ctx, w.sub)
	if err != nil {
		return err
	}
	if sub != nil && !p.topicOf(sub) {
		return nil // a subscription that has to be replaced: nothing else matters
	}
	if w.topic == w.dead {
		return invalid(w.sub, "plan", errOwnLetters)
	}
	topic, err := p.findTopic(ctx, w.topic)
	if err != nil {
		return err
	}
	if w.dead.zero() {
		p.planTopic(w.topic, topic)
		p.planSubscription(sub)
		return nil
	}
	dead, err := p.findTopic(ctx, w.dead)
	if err != nil {
		return err
	}
	letters, ok, err := p.findLetters(ctx, dead != nil)
	if !ok || err != nil {
		return err // a dead-letter topic that nobody reads is worse than none
	}
	p.planTopic(w.topic, topic)
	p.planTopic(w.dead, dead)
	p.planLetters(letters)
	p.planSubscription(sub)
	return granter{p}.planGrants(ctx, dead != nil, sub != nil)
}

// topicOf looks whether a subscription that exists is on the right topic and can
// be pulled from: it cannot be given another.
func (p *planner) topicOf(sub *pubsubpb.Subscription) bool {
	w := p.wish
	c := provision.Change{Resource: resource(w.sub), Kind: provision.Replace, Field: "topic", From: sub.Topic, To: w.topic.String()}
	if err := pullable(sub); err != nil {
		c.Field, c.From, c.To, c.Remedy = "delivery", err.Error(), "pull", "a queue's messages are pulled: name another subscription in the URL, and apply makes it"
		p.Add(c, nil)
		return false
	}
	topic, err := parseName(sub.Topic)
	switch {
	case sub.Topic == deletedTopic || err != nil:
		c.Remedy = fmt.Sprintf("the topic was deleted, and a subscription cannot be given another: drain it, then gcloud pubsub subscriptions delete %s --project=%s, and apply again",
			w.sub.id, w.sub.project)
	case topic != w.topic && w.named:
		c.Remedy = "a subscription stays on its topic: name another subscription in the URL, apply, and drain this one"
	default:
		w.topic = topic
		return true
	}
	p.Add(c, nil)
	return false
}

// findTopic returns a topic, or nil if there is none.
func (p *planner) findTopic(ctx context.Context, n name) (*pubsubpb.Topic, error) {
	t, err := p.topics.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: n.String()}, once)
	if status.Code(err) == codes.NotFound {
		return nil, nil //nolint:nilnil // documented
	}
	return t, wrap(ctx, n, "plan", err)
}

// planTopic plans a topic, which is t now.
func (p *planner) planTopic(n name, t *pubsubpb.Topic) {
	if t != nil {
		reconciler{p}.reconcileTopic(n, t)
		return
	}
	key := p.wish.kmsKey
	c := provision.Change{Resource: resource(n), Kind: provision.Create, To: describe("kms_key", key)}
	if key != "" {
		c.Remedy = remedyKey
	}
	p.Add(c, func(ctx context.Context) error {
		_, err := p.topics.CreateTopic(ctx, &pubsubpb.Topic{Name: n.String(), Labels: p.wish.labels, KmsKeyName: key}, once)
		return made(ctx, n, err)
	})
}

const remedyKey = "Pub/Sub's service agent needs roles/cloudkms.cryptoKeyEncrypterDecrypter on the key"

// findLetters finds the subscription on the dead-letter topic, nil if there is
// none: without one the letters are lost. One that is there already is as good as
// ours. It returns false if there can be none by the name.
func (p *planner) findLetters(ctx context.Context, deadExists bool) (*pubsubpb.Subscription, bool, error) {
	w := p.wish
	if w.deadSub.zero() && deadExists {
		subs, err := subscriptionsOf(ctx, p.topics.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: w.dead.String()}, once))
		if err != nil {
			return nil, false, wrap(ctx, w.dead, "plan", err)
		}
		if sub, err := chooseLetters(w.dead, subs); err == nil {
			w.deadSub = sub
		}
	}
	if w.deadSub.zero() {
		w.deadSub = name{project: w.dead.project, kind: kindSubscription, id: w.dead.id}
	}
	if w.deadSub == w.sub {
		return nil, false, invalid(w.sub, "plan", errors.New("the queue's subscription and that of its dead letters have the same name: name another with "+paramDeadLetters))
	}
	sub, err := p.findSubscription(ctx, w.deadSub)
	if err != nil || sub == nil || sub.Topic == w.dead.String() {
		return sub, err == nil, err
	}
	p.Add(provision.Change{Resource: resource(w.deadSub), Kind: provision.Replace, Field: "topic", From: sub.Topic, To: w.dead.String(),
		Remedy: fmt.Sprintf("a subscription stays on its topic: name another with %s in the URL, or drain this one, then gcloud pubsub subscriptions delete %s --project=%s, and apply again",
			paramDeadLetters, w.deadSub.id, w.deadSub.project)}, nil)
	return nil, false, nil
}

// planLetters plans the subscription on the dead-letter topic, which is sub now.
func (p *planner) planLetters(sub *pubsubpb.Subscription) {
	w := p.wish
	if sub != nil {
		reconciler{p}.reconcileLetters(sub)
		return
	}
	to := describe("topic", w.dead.id, "retention", w.deadRetention, "expiration", "never", "fifo", w.ordered)
	p.Add(provision.Change{Resource: resource(w.deadSub), Kind: provision.Create, To: to}, func(ctx context.Context) error {
		_, err := p.subscriptions.CreateSubscription(ctx, &pubsubpb.Subscription{
			Name: w.deadSub.String(), Topic: w.dead.String(), Labels: w.labels, EnableMessageOrdering: w.ordered,
			MessageRetentionDuration: durationpb.New(w.deadRetention), ExpirationPolicy: never(),
		}, once)
		return made(ctx, w.deadSub, err)
	})
}

// planSubscription plans the queue's own subscription.
func (p *planner) planSubscription(sub *pubsubpb.Subscription) {
	w := p.wish
	if sub != nil {
		reconciler{p}.reconcileSubscription(sub)
		return
	}
	wanted := &pubsubpb.Subscription{
		Name: w.sub.String(), Topic: w.topic.String(), Labels: w.labels, Filter: w.filter,
		AckDeadlineSeconds: seconds(w.deadline), EnableMessageOrdering: w.ordered, EnableExactlyOnceDelivery: w.exactlyOnce,
		RetainAckedMessages: w.keepsAcked, RetryPolicy: w.retry, ExpirationPolicy: never(), DeadLetterPolicy: w.policy(),
	}
	if w.retention > 0 {
		wanted.MessageRetentionDuration = durationpb.New(w.retention)
	}
	to := describe("topic", w.topic.id, "visibility_timeout", w.deadline, "retention", w.retention, "expiration", "never",
		"fifo", w.ordered, "exactly_once", w.exactlyOnce, "retain_acked", w.keepsAcked,
		"retry", retryText(w.retry), "dead_letter", policyText(wanted.DeadLetterPolicy), "filter", w.filter)
	p.Add(provision.Change{Resource: resource(w.sub), Kind: provision.Create, To: to}, func(ctx context.Context) error {
		_, err := p.subscriptions.CreateSubscription(ctx, wanted, once)
		return wrap(ctx, w.sub, "apply", err)
	})
}

// made is the outcome of creating what several queues may share: it is not a failure
// if somebody else was faster.
func made(ctx context.Context, n name, err error) error {
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return wrap(ctx, n, "apply", err)
}

// findSubscription returns a subscription, or nil if there is none.
func (p *planner) findSubscription(ctx context.Context, n name) (*pubsubpb.Subscription, error) {
	sub, err := p.subscriptions.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: n.String()}, once)
	if status.Code(err) == codes.NotFound {
		return nil, nil //nolint:nilnil // documented
	}
	return sub, wrap(ctx, n, "plan", err)
}

// subscriptionsOf gathers the names that an iterator gives.
func subscriptionsOf(ctx context.Context, it interface{ Next() (string, error) }) ([]string, error) {
	var subs []string
	for ctx.Err() == nil {
		sub, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return subs, nil
		}
		if err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	return nil, ctx.Err()
}

// resource is a topic or a subscription as an operator knows it.
func resource(n name) string { return "pubsub " + strings.TrimSuffix(n.kind, "s") + " " + n.id }

// describe writes names and values in pairs, leaving out the zero values.
func describe(pairs ...any) string {
	var parts []string
	for pair := range slices.Chunk(pairs, 2) {
		switch value := fmt.Sprint(pair[1]); value {
		case "", "0s", "false":
		default:
			parts = append(parts, fmt.Sprintf("%v=%s", pair[0], value))
		}
	}
	return strings.Join(parts, " ")
}
