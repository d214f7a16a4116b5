package pubsub

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/sluice-go/sluice/drivers/provision"
)

// A reconciler plans the changes of resources that exist.
type reconciler struct{ *planner }

// reconcileSubscription plans the changes of the queue's subscription.
func (p reconciler) reconcileSubscription(sub *pubsubpb.Subscription) {
	w := p.wish
	if w.filter != "" && sub.Filter != w.filter {
		p.Add(provision.Change{
			Resource: resource(w.sub), Kind: provision.Replace, Field: "filter", From: sub.Filter, To: w.filter,
			Remedy: "a subscription's filter cannot be changed: name a new subscription in the URL (with the topic parameter), apply, " +
				"move the consumers there and drain this one. Without the filter the letters of other subscriptions come here, and consumers skip them",
		}, nil)
	}
	if w.ordered && !sub.EnableMessageOrdering {
		p.Add(provision.Change{
			Resource: resource(w.sub), Kind: provision.Replace, Field: "fifo", From: "false", To: "true",
			Remedy: "a subscription's ordering cannot be changed: name a new subscription in the URL (with the topic parameter), apply, " +
				"move the consumers there and drain this one",
		}, nil)
	}
	if now := deadlineOf(sub); w.deadline > 0 && now != w.deadline {
		p.update(w.sub, provision.Change{Field: "visibility_timeout", From: now.String(), To: w.deadline.String()},
			"ack_deadline_seconds", &pubsubpb.Subscription{AckDeadlineSeconds: seconds(w.deadline)})
	}
	p.reconcileRetention(w.sub, sub, w.retention)
	p.reconcileExpiration(w.sub, sub)
	if w.exactlyOnce && !sub.EnableExactlyOnceDelivery {
		p.update(w.sub, provision.Change{Field: "exactly_once", From: "false", To: "true"},
			"enable_exactly_once_delivery", &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	}
	if w.keepsAcked && !sub.RetainAckedMessages {
		p.update(w.sub, provision.Change{Field: "retain_acked", From: "false", To: "true"},
			"retain_acked_messages", &pubsubpb.Subscription{RetainAckedMessages: true})
	}
	if now, to := retryText(sub.RetryPolicy), retryText(w.retry); w.retry != nil && now != to {
		p.update(w.sub, provision.Change{Field: "retry", From: now, To: to}, "retry_policy", &pubsubpb.Subscription{RetryPolicy: w.retry})
	}
	p.reconcilePolicy(sub)
	p.reconcileLabels(w.sub, sub.Labels)
}

// reconcilePolicy plans the dead-letter policy.
func (p reconciler) reconcilePolicy(sub *pubsubpb.Subscription) {
	w := p.wish
	now, to := policyText(sub.DeadLetterPolicy), policyText(w.policy())
	if now == to {
		return
	}
	old := sub.GetDeadLetterPolicy().GetDeadLetterTopic()
	c := provision.Change{Field: "dead_letter", From: now, To: to,
		// Letters on the old topic are then nobody's.
		Destructive: old != "" && old != deletedTopic && old != w.dead.String()}
	if w.dead.zero() {
		c.Destructive = true
		c.Remedy = "without a dead-letter topic a poison message is retried until it expires: name one in the configuration instead"
	}
	p.update(w.sub, c, "dead_letter_policy", &pubsubpb.Subscription{DeadLetterPolicy: w.policy()})
}

// reconcileLetters plans the changes of the subscription of the dead letters.
func (p reconciler) reconcileLetters(sub *pubsubpb.Subscription) {
	w := p.wish
	if w.ordered && !sub.EnableMessageOrdering {
		p.Add(provision.Change{
			Resource: resource(w.deadSub), Kind: provision.Replace, Field: "fifo", From: "false", To: "true",
			Remedy: fmt.Sprintf("a subscription's ordering cannot be changed: when it is empty, gcloud pubsub subscriptions delete %s --project=%s, and apply again immediately",
				w.deadSub.id, w.deadSub.project),
		}, nil)
	}
	p.reconcileRetention(w.deadSub, sub, w.deadRetention)
	p.reconcileExpiration(w.deadSub, sub)
	p.reconcileLabels(w.deadSub, sub.Labels)
}

func (p reconciler) reconcileRetention(n name, sub *pubsubpb.Subscription, wanted time.Duration) {
	now := retentionOf(sub)
	if wanted == 0 || now == wanted {
		return
	}
	p.update(n, provision.Change{Field: "retention", From: now.String(), To: wanted.String(), Destructive: wanted < now},
		"message_retention_duration", &pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(wanted)})
}

func (p reconciler) reconcileExpiration(n name, sub *pubsubpb.Subscription) {
	if ttl := expirationOf(sub); ttl > 0 {
		p.update(n, provision.Change{Field: "expiration", From: ttl.String(), To: "never"}, "expiration_policy", &pubsubpb.Subscription{ExpirationPolicy: never()})
	}
}

// update plans to set one field of a subscription.
func (p reconciler) update(n name, c provision.Change, mask string, to *pubsubpb.Subscription) {
	c.Resource, c.Kind = resource(n), provision.Update
	to.Name = n.String()
	p.Add(c, func(ctx context.Context) error {
		_, err := p.subscriptions.UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{
			Subscription: to, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{mask}},
		}, once)
		return wrap(ctx, n, "apply", err)
	})
}

// reconcileTopic plans the changes of a topic, which is t now.
func (p reconciler) reconcileTopic(n name, t *pubsubpb.Topic) {
	if key := p.wish.kmsKey; key != "" && t.KmsKeyName != key {
		p.Add(provision.Change{Resource: resource(n), Kind: provision.Update, Field: "kms_key", From: t.KmsKeyName, To: key,
			Remedy: remedyKey + "; existing messages keep the old key"},
			func(ctx context.Context) error {
				return p.updateTopic(ctx, n, "kms_key_name", &pubsubpb.Topic{KmsKeyName: key})
			})
	}
	p.reconcileLabels(n, t.Labels)
}

func (p reconciler) updateTopic(ctx context.Context, n name, mask string, t *pubsubpb.Topic) error {
	t.Name = n.String()
	_, err := p.topics.UpdateTopic(ctx, &pubsubpb.UpdateTopicRequest{Topic: t, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{mask}}}, once)
	return wrap(ctx, n, "apply", err)
}

// reconcileLabels plans each label that is missing or another. A request sets all
// labels together, so that the first of the changes carries the others along, and
// they are reported one by one.
func (p reconciler) reconcileLabels(n name, now map[string]string) {
	all := maps.Clone(now)
	if all == nil {
		all = make(map[string]string)
	}
	for _, k := range slices.Sorted(maps.Keys(p.wish.labels)) {
		v := p.wish.labels[k]
		if old, ok := now[k]; ok && old == v {
			continue
		}
		all[k] = v
		merged := maps.Clone(all)
		c := provision.Change{Resource: resource(n), Kind: provision.Update, Field: "tags." + k, From: now[k], To: v}
		if n.kind == kindTopic {
			p.Add(c, func(ctx context.Context) error {
				return p.updateTopic(ctx, n, "labels", &pubsubpb.Topic{Labels: merged})
			})
			continue
		}
		p.update(n, c, "labels", &pubsubpb.Subscription{Labels: merged})
	}
}

func policyText(p *pubsubpb.DeadLetterPolicy) string {
	if p.GetDeadLetterTopic() == "" {
		return ""
	}
	attempts := p.MaxDeliveryAttempts
	if attempts == 0 {
		attempts = defaultMaxAttempts
	}
	return fmt.Sprintf("%s after %d", p.DeadLetterTopic, attempts)
}

func retryText(r *pubsubpb.RetryPolicy) string {
	if r == nil {
		return ""
	}
	least, most := defaultMinRetry, maxRetryDelay
	if r.MinimumBackoff != nil {
		least = r.MinimumBackoff.AsDuration()
	}
	if r.MaximumBackoff != nil {
		most = r.MaximumBackoff.AsDuration()
	}
	return fmt.Sprintf("%v..%v", least, most)
}

func deadlineOf(sub *pubsubpb.Subscription) time.Duration {
	if sub.AckDeadlineSeconds == 0 {
		return defaultDeadline
	}
	return time.Duration(sub.AckDeadlineSeconds) * time.Second
}

func retentionOf(sub *pubsubpb.Subscription) time.Duration {
	if sub.MessageRetentionDuration == nil {
		return defaultRetention
	}
	return sub.MessageRetentionDuration.AsDuration()
}

// never is the policy of a subscription that does not expire. Without a policy it
// expires when it was not used for 31 days.
func never() *pubsubpb.ExpirationPolicy { return &pubsubpb.ExpirationPolicy{} }

// expirationOf is after how long without use a subscription is deleted, zero for
// never.
func expirationOf(sub *pubsubpb.Subscription) time.Duration {
	if sub.ExpirationPolicy == nil {
		const standard = 31 * 24 * time.Hour
		return standard
	}
	return sub.ExpirationPolicy.GetTtl().AsDuration()
}
