package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
)

var _ drivers.Diagnoser = (*Opener)(nil)

// The findings' IDs; drivers of other providers use the same for the same fault.
const (
	findLettersExpire  = "letters-expire"
	findDLQRetention   = "dlq-retention"
	findKind           = "dlq-kind"
	findDLQMissing     = "dlq-missing"
	findVisibility     = "visibility-short"
	findNoDLQ          = "no-dead-letter"
	findOldest         = "oldest-message"
	findLetters        = "letters-present"
	findNoAlarm        = "no-alarm"
	findDrift          = "drift"
	findNoLetterReader = "dlq-no-subscription"
	findGrants         = "grants-missing"
	findNoRetry        = "no-retry-policy"
	findExpires        = "subscription-expires"
	findNoFilter       = "no-redrive-filter"
	findUnordered      = "ordering-off"
	findTopicMissing   = "topic-missing"
	findHeadroom       = "attempts-headroom"

	sampledLetters      = 10
	roomForDeliveries   = 3 // what a subscription should allow above the handlers' own limit
	lettersNearExpiry   = 4 // a letter is near its end in the last quarter of its time
	oldestPartRetention = 2
)

// Diagnose returns what is wrong with the subscription that u names. It looks at
// up to ten dead letters, which counts as a delivery of each, and at no message of
// the queue itself. What this program may not ask for (metrics, alert policies,
// access policies) is not looked at. Encryption is not either: Pub/Sub encrypts
// everything. See [drivers.Diagnoser].
func (o *Opener) Diagnose(ctx context.Context, u *url.URL, spec *drivers.QueueSpec) ([]drivers.Finding, error) {
	w, err := wishFor(u, &drivers.QueueSpec{})
	if err != nil {
		return nil, err
	}
	so, err := sourceOptions(w.sub, u.Query(), nil)
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, w.sub, u.Query().Get(paramEndpoint), o.ClientOptions)
	if err != nil {
		return nil, err
	}
	d := &diagnosis{provision: &provision{clients: c, wish: w, number: o.projectNumber}, shown: w.sub.id, lease: so.AckDeadline}
	defer d.release()
	if spec != nil && spec.Name != "" {
		d.shown = spec.Name
	}
	if so.DeadLetterSubscription != "" {
		if w.deadSub, err = parseNameIn(w.sub.project, kindSubscription, so.DeadLetterSubscription); err != nil {
			return nil, invalid(w.sub, "diagnose", err)
		}
	}
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	d.sub, err = c.subscriptions.GetSubscription(tctx, &pubsubpb.GetSubscriptionRequest{Subscription: w.sub.String()}, once)
	if err != nil {
		return nil, wrap(ctx, w.sub, "diagnose", err)
	}
	if d.lease == 0 {
		d.lease = deadlineOf(d.sub)
	}
	d.own(spec)
	if err := errors.Join(d.age(tctx), d.deadLetters(tctx)); err != nil {
		return d.found, wrap(ctx, w.sub, "diagnose", err)
	}
	if spec != nil {
		err = d.drift(ctx, o, u, spec)
	}
	return d.found, err
}

// A diagnosis gathers findings on one queue.
type diagnosis struct {
	*provision
	shown string
	sub   *pubsubpb.Subscription
	lease time.Duration
	found []drivers.Finding
}

const mendByApply = "sluice apply"

func (d *diagnosis) report(id string, s drivers.Severity, fact, why, command string) {
	d.found = append(d.found, drivers.Finding{ID: id, Severity: s, Queue: d.shown, Fact: fact, Why: why, Command: command})
}

// own looks at the queue's own subscription.
func (d *diagnosis) own(spec *drivers.QueueSpec) {
	if d.sub.Topic == deletedTopic || d.sub.Detached {
		d.report(findTopicMissing, drivers.Critical, "the subscription's topic was deleted, or the subscription was detached from it",
			"what is sent reaches nobody, and a subscription cannot be given another topic", "sluice plan (tells the way out)")
	}
	d.expiry(d.wish.sub, d.sub)
	if d.sub.RetryPolicy == nil {
		d.report(findNoRetry, drivers.Major, "the subscription has no retry policy",
			"a message that fails is delivered again at once: a fault that lasts becomes a storm, and uses up all attempts within seconds",
			mendByApply+" (with retry: {min: 10s, max: 10m} in the configuration)")
	}
	if d.wish.filter != "" && d.sub.Filter != d.wish.filter {
		d.report(findNoFilter, drivers.Minor, fmt.Sprintf("the subscription's filter is %q, which lets the redrives of other subscriptions through", d.sub.Filter),
			"what is redriven for another subscription of the topic comes here as well: consumers of Sluice skip it, others handle it twice", "sluice plan (tells the way out: a filter cannot be changed)")
	}
	if spec == nil {
		return
	}
	if spec.FIFO && !d.sub.EnableMessageOrdering {
		d.report(findUnordered, drivers.Critical, "the configuration says fifo, and the subscription has no message ordering",
			"messages of one group are handled in any order, and at the same time", "sluice plan (tells the way out: ordering cannot be changed)")
	}
	if spec.HandlerP99 > 0 && !spec.Heartbeat && spec.HandlerP99 >= d.lease {
		d.report(findVisibility, drivers.Critical, fmt.Sprintf("the ack deadline is %v, and one handler in a hundred takes %v or longer, without a heartbeat", d.lease, spec.HandlerP99),
			"messages are delivered again while they are still handled: their effects are doubled",
			"sluice run "+d.shown+" --heartbeat … (or raise visibility_timeout and: sluice apply)")
	}
	native := int(d.sub.DeadLetterPolicy.GetMaxDeliveryAttempts())
	if d.sub.DeadLetterPolicy != nil && spec.HandlerAttempts > 0 && native <= spec.HandlerAttempts {
		d.report(findHeadroom, drivers.Major, fmt.Sprintf("the subscription allows %d delivery attempts, and the handlers reject after %d", native, spec.HandlerAttempts),
			"Pub/Sub counts every delivery, also to a consumer that crashed or stopped: a message is dead-lettered before its handlers have given up, and without a reason",
			fmt.Sprintf("%s (with dead_letter.max_attempts: %d)", mendByApply, min(spec.HandlerAttempts+roomForDeliveries, maxAttempts)))
	}
}

func (d *diagnosis) expiry(n name, sub *pubsubpb.Subscription) {
	if ttl := expirationOf(sub); ttl > 0 {
		d.report(findExpires, drivers.Major, fmt.Sprintf("subscription %s is deleted when nobody uses it for %v", n.id, ttl),
			"a queue that is quiet, or whose consumers are paused, is gone with all of its messages", mendByApply)
	}
}

// age looks at how long the oldest message has waited, as Cloud Monitoring knows
// it.
func (d *diagnosis) age(ctx context.Context) error {
	b, err := d.monitored(ctx, d.wish.sub)
	if err != nil {
		return ctx.Err() // an advisory question must not keep the others from being asked
	}
	if kept := retentionOf(d.sub); b.oldest > kept/oldestPartRetention {
		d.report(findOldest, drivers.Major, fmt.Sprintf("the oldest message is %v old, and messages are kept for %v", b.oldest.Round(time.Second), kept),
			"it expires, and is lost, if it waits on", "sluice run "+d.shown+" --concurrency N … (or raise retention and: sluice apply)")
	}
	return nil
}

// deadLetters looks at the dead-letter policy and at what it needs.
func (d *diagnosis) deadLetters(ctx context.Context) error {
	topic := d.sub.GetDeadLetterPolicy().GetDeadLetterTopic()
	if topic == "" {
		d.report(findNoDLQ, drivers.Major, "the subscription has no dead-letter policy",
			"a poison message is retried until it expires, and then lost without a word; and the attempt number is not known", mendByApply+" (with dead_letter in the configuration)")
		return nil
	}
	gone := topic == deletedTopic
	if !gone {
		var err error
		if d.wish.dead, err = parseName(topic); err != nil {
			return invalid(d.wish.sub, "diagnose", err)
		}
		t, err := d.findTopic(ctx, d.wish.dead)
		if err != nil && !errors.Is(err, drivers.ErrDenied) {
			return err
		}
		gone = t == nil && err == nil
	}
	if gone {
		d.report(findDLQMissing, drivers.Critical, "the dead-letter policy names a topic that does not exist: "+topic,
			"Pub/Sub cannot forward messages there: poison messages are retried until they expire, and then lost", mendByApply)
		return nil
	}
	if err := d.grants(ctx); err != nil {
		return err
	}
	return d.letterReader(ctx)
}

// grants looks whether the service itself may forward letters.
func (d *diagnosis) grants(ctx context.Context) error {
	is := anyAgent.MatchString
	member, err := d.agentOf(ctx)
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
	}{{d.wish.dead, rolePublisher, "publish to the dead-letter topic"}, {d.wish.sub, roleSubscriber, "acknowledge what it forwards"}} {
		policy, err := d.accessPolicy(ctx, g.on)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue // not known
		}
		if !granted(policy, g.role, is) {
			d.report(findGrants, drivers.Critical, fmt.Sprintf("%s is not granted to %s on %s %s (a grant on the whole project is not seen)", g.role, member, g.on.kind, g.on.id),
				"Pub/Sub's service agent cannot "+g.does+": poison messages are not dead-lettered, and are retried until they expire",
				mendByApply+" (or: "+grantCommand(g.on, g.role, member)+")")
		}
	}
	return nil
}

// letterReader looks at the subscription on the dead-letter topic.
func (d *diagnosis) letterReader(ctx context.Context) error {
	w := d.wish
	if w.deadSub.zero() {
		subs, err := subscriptionsOf(ctx, d.topics.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: w.dead.String()}, once))
		if err != nil {
			return wrap(ctx, w.dead, "diagnose", err)
		}
		if len(subs) == 0 {
			d.report(findNoLetterReader, drivers.Critical, fmt.Sprintf("the dead-letter topic %s has no subscription", w.dead.id),
				"what is published to it is lost at once", mendByApply)
			return nil
		}
		if w.deadSub, err = chooseLetters(w.dead, subs); err != nil {
			return nil //nolint:nilerr // several, for whoever: which of them is ours is not known
		}
	}
	dead, err := d.findSubscription(ctx, w.deadSub)
	if err != nil {
		return err
	}
	if dead == nil || dead.Topic != w.dead.String() {
		d.report(findNoLetterReader, drivers.Critical, fmt.Sprintf("%s, by which the dead letters are to be read, is not a subscription of %s", w.deadSub.id, w.dead.id),
			"what is published to the dead-letter topic cannot be read, and is lost if nobody else reads it", mendByApply)
		return nil
	}
	d.expiry(w.deadSub, dead)
	own, kept := retentionOf(d.sub), retentionOf(dead)
	if kept < own {
		d.report(findDLQRetention, drivers.Critical, fmt.Sprintf("dead letters are kept for %v, messages for %v", kept, own),
			"a message that nobody handled lives longer than one that failed: letters are lost before anybody looks", mendByApply+" (with dead_letter.retention: 31d)")
	}
	if d.sub.EnableMessageOrdering && !dead.EnableMessageOrdering {
		d.report(findKind, drivers.Major, fmt.Sprintf("the subscription keeps groups in order, and %s does not", w.deadSub.id),
			"letters are read, and brought back, out of their order", "sluice plan (after deleting that subscription when it is empty; ordering cannot be changed)")
	}
	if err := d.letters(ctx, kept); err != nil {
		return err
	}
	return d.alarm(ctx)
}

// letters looks at the letters that there are.
func (d *diagnosis) letters(ctx context.Context, kept time.Duration) error {
	count := int64(drivers.Unknown)
	if b, err := d.monitored(ctx, d.wish.deadSub); err == nil {
		count = b.visible + max(b.inFlight, 0)
	} else if ctx.Err() != nil {
		return ctx.Err()
	}
	wait := peekWait
	if count == 0 {
		wait = 0 // the number may be some minutes old
	}
	dead, err := newSource(ctx, d.share(), d.wish.deadSub, nil)
	if err != nil {
		return err
	}
	defer func() { _ = dead.Close() }() // it has settled nothing
	sample, err := dead.take(ctx, "diagnose", d.wish.deadSub, sampledLetters, wait)
	if err != nil && !errors.Is(err, drivers.ErrDenied) {
		return err
	}
	if count = max(count, int64(len(sample))); count <= 0 {
		return nil
	}
	d.report(findLetters, drivers.Major, fmt.Sprintf("%d dead letters in %s", count, d.wish.deadSub.id),
		"each is a job that was not done", "sluice peek "+d.shown+" --dead, then: sluice redrive "+d.shown)
	for _, rm := range sample {
		left := kept - time.Since(rm.GetMessage().GetPublishTime().AsTime())
		if left > kept/lettersNearExpiry {
			continue
		}
		d.report(findLettersExpire, drivers.Critical, fmt.Sprintf("of %d letters looked at, one expires in %v", len(sample), left.Round(time.Second)),
			"when it expires its job is lost for good", "sluice redrive "+d.shown)
		break
	}
	return nil
}

// alarm looks whether anyone is told of dead letters.
func (d *diagnosis) alarm(ctx context.Context) error {
	ok, err := d.watched(ctx, d.wish.deadSub)
	if err != nil {
		return ctx.Err()
	}
	if !ok {
		d.report(findNoAlarm, drivers.Minor, "no alert policy of Cloud Monitoring watches the backlog of "+d.wish.deadSub.id,
			"dead letters come and nobody is told", "sluice apply (with alarms.dead_letters: 1 in the configuration; it prints the policy for Cloud Monitoring)")
	}
	return nil
}

// drift looks for differences from the configuration.
func (d *diagnosis) drift(ctx context.Context, o *Opener, u *url.URL, spec *drivers.QueueSpec) error {
	changes, err := o.Plan(ctx, u, *spec)
	if err != nil {
		return err
	}
	n, first := 0, ""
	for _, c := range changes {
		if c.Kind == drivers.ChangeNote {
			continue // what cannot be known is no difference
		}
		if n++; n == 1 {
			first = c.Resource + " " + c.Field
		}
	}
	if n > 0 {
		d.report(findDrift, drivers.Minor, fmt.Sprintf("%d differences between the queue and its configuration, such as %s", n, first),
			"what was changed by hand is lost at the next apply, and what was configured is not in force", "sluice plan")
	}
	return nil
}
