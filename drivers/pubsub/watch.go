package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/reread"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// rereadEvery is the approximate time between two readings of the
	// subscription, and rereadSoon the shortest time between two of them after an
	// error.
	rereadEvery = 2 * time.Minute
	rereadSoon  = 10 * time.Second
	// rereadEmulated is rereadEvery at an emulator, which has no quota.
	rereadEmulated = 2 * time.Second
	// rereadTime bounds the request, for which one receive waits.
	rereadTime = 5 * time.Second
	// retentionEvery is the time between two readings of the retention of dead letters.
	retentionEvery = 10 * time.Minute
)

// config is the part of a subscription's configuration that a source follows. It is
// immutable.
type config struct {
	topic    name          // zero if it was deleted
	native   time.Duration // the subscription's own lease
	dead     name          // the dead-letter topic; zero if there is none
	attempts int           // of the dead-letter policy; zero if there is none
	ordered  bool
	fault    error
}

// configOf returns the configuration of the subscription sub.
func configOf(sub name, p *pubsubpb.Subscription, o *SourceOptions) (*config, error) {
	c := &config{native: time.Duration(p.AckDeadlineSeconds) * time.Second, ordered: p.EnableMessageOrdering}
	if c.native == 0 {
		c.native = defaultDeadline
	}
	var err error
	if p.Topic == deletedTopic {
		c.fault = &drivers.Error{Code: drivers.NotFound, Queue: sub.String(), Op: "receive", Err: errTopicGone,
			Remedy: "a subscription does not follow a recreated topic: delete the subscription and apply its configuration"}
	} else if c.topic, err = parseName(p.Topic); err != nil {
		return nil, invalid(sub, "open", err)
	}
	policy := p.GetDeadLetterPolicy()
	if c.dead, err = findDeadLetter(sub, policy, o); err != nil {
		return nil, err
	}
	if c.dead == c.topic {
		// A rejected message would come back as a new one, for ever.
		if o.DeadLetter != "" && !c.topic.zero() {
			return nil, invalid(sub, "open", errOwnLetters)
		}
		c.dead = name{}
	}
	if policy != nil && policy.DeadLetterTopic != deletedTopic {
		c.attempts = defaultMaxAttempts
		if policy.MaxDeliveryAttempts > 0 {
			c.attempts = int(policy.MaxDeliveryAttempts)
		}
	}
	return c, nil
}

// findDeadLetter returns the topic for rejected messages: the configured one, or
// else that of the subscription's policy.
func findDeadLetter(sub name, policy *pubsubpb.DeadLetterPolicy, o *SourceOptions) (name, error) {
	topic := o.DeadLetter
	if topic == "" {
		topic = policy.GetDeadLetterTopic()
	}
	if topic == "" || topic == deletedTopic {
		return name{}, nil
	}
	dead, err := parseNameIn(sub.project, kindTopic, topic)
	if err != nil {
		return name{}, invalid(sub, "open", fmt.Errorf("dead-letter topic: %w", err))
	}
	return dead, nil
}

// same reports whether c and d are equal.
func (c *config) same(d *config) bool {
	a, b := *c, *d
	a.fault, b.fault = nil, nil
	return a == b && invoke.Text(c.fault) == invoke.Text(d.fault)
}

// A watch rereads a subscription. That of a push subscription does not begin.
type watch struct {
	reread.Schedule
	c       *clients
	sub     name
	ordered bool // when the source was opened
	options SourceOptions
	now     atomic.Pointer[config]

	deadMu  sync.Mutex
	deadSub name // of the dead letters; zero until it is known
	// deadTopic is the topic that a deadSub which the options name was found to be on.
	deadTopic name
	// deadKept is how long the subscription deadKeptBy keeps letters, as it was read at
	// deadReadAt. Zero is not known.
	deadKept   time.Duration
	deadKeptBy name
	deadReadAt time.Time
}

// begin sets the configuration that was read when the subscription was opened.
func (w *watch) begin(c *clients, sub name, ordered bool, now *config) {
	w.c, w.sub, w.ordered = c, sub, ordered
	w.now.Store(now)
	every := rereadEvery
	if c.emulated {
		every = rereadEmulated
	}
	w.Begin(every, rereadSoon, every/2)
}

// current returns the latest known configuration.
func (w *watch) current() *config {
	if c := w.now.Load(); c != nil {
		return c
	}
	return &config{} // a push subscription that was not opened
}

// patrol rereads the subscription whenever that is due, while a receive waits. The
// caller must call end, which waits for a reading under way.
func (w *watch) patrol(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var (
		mu    sync.Mutex // held while the subscription is read
		over  bool
		timer *time.Timer
	)
	mu.Lock()
	timer = time.AfterFunc(w.Left(), func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		w.reread(ctx)
		timer.Reset(max(w.Left(), time.Second))
	})
	mu.Unlock()
	return func() {
		timer.Stop()
		cancel()
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}

// refresh reads the subscription before something is done with its letters, unless that was
// done within rereadSoon.
func (w *watch) refresh(ctx context.Context) {
	w.Doubt()
	w.reread(ctx)
}

// reread reads the subscription if that is due, and logs a change. If it fails the
// configuration stays as it was: the receive reports the error.
func (w *watch) reread(ctx context.Context) {
	if !w.Due() {
		return
	}
	rctx, cancel := context.WithTimeout(ctx, rereadTime)
	defer cancel()
	p, err := w.c.subscriptions.GetSubscription(rctx, &pubsubpb.GetSubscriptionRequest{Subscription: w.sub.String()}, once)
	if err != nil {
		w.Doubt()
		return
	}
	now, err := configOf(w.sub, p, &w.options)
	if err != nil {
		return
	}
	if err := pullable(p); err != nil {
		now.fault = invalid(w.sub, "receive", err)
	} else if now.fault == nil && now.ordered && !w.ordered {
		now.fault = invalid(w.sub, "receive", errors.New("the subscription was recreated and is ordered now: restart the consumer"))
	}
	was := w.now.Swap(now)
	if was.same(now) {
		return
	}
	if was.dead != now.dead && w.options.DeadLetterSubscription == "" {
		w.deadMu.Lock()
		w.deadSub = name{}
		w.deadMu.Unlock()
	}
	log := invoke.Logger(w.options.Logger)
	switch {
	case now.fault != nil && invoke.Text(was.fault) != invoke.Text(now.fault):
		log.ErrorContext(ctx, "the subscription was changed and cannot be used as it is", "queue", w.sub.String(), "error", now.fault)
	case now.fault == nil && was.fault != nil:
		log.InfoContext(ctx, "the subscription can be used again", "queue", w.sub.String())
	}
	if was.dead != now.dead || was.attempts != now.attempts || was.native != now.native || was.topic != now.topic && !now.topic.zero() {
		log.InfoContext(ctx, "the subscription was changed: the consumer uses the new settings", "queue", w.sub.String(), "topic", now.topic.id,
			"ack_deadline", now.native, "dead_letter", now.dead.id, "max_attempts", now.attempts)
	}
}

// letterSubscription returns the subscription through which dead letters can be
// read. It finds it on the first call and after a change of the dead-letter topic.
func (w *watch) letterSubscription(ctx context.Context, op string) (name, error) {
	w.deadMu.Lock()
	defer w.deadMu.Unlock()
	// Under the lock: a change of the topic is stored before deadSub is forgotten, so that
	// deadSub cannot stay one of the topic before.
	dead := w.current().dead
	if dead.zero() {
		return name{}, noDeadLetter(w.sub.String(), op)
	}
	if !w.deadSub.zero() {
		return w.deadSub, w.checkLetters(ctx, op, dead)
	}
	var subs []string
	it := w.c.topics.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: dead.String()}, once)
	for {
		sub, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return name{}, wrap(ctx, dead, op, err)
		}
		subs = append(subs, sub)
	}
	sub, err := chooseLetters(dead, subs)
	if err != nil {
		code := drivers.Invalid
		remedy := "name the one to read by with dead_letter_subscription"
		if len(subs) == 0 {
			code = drivers.NotFound
			remedy = fmt.Sprintf("apply its configuration, or: gcloud pubsub subscriptions create %s --topic=%s", dead.id, dead)
		}
		return name{}, &drivers.Error{Code: code, Queue: dead.String(), Op: op, Err: err, Remedy: remedy}
	}
	w.deadSub = sub
	return sub, nil
}

// checkLetters returns an error if the options name a subscription that is on another topic
// than dead: a purge of the dead letters, or a discard, would delete the messages of another
// queue. The caller holds deadMu.
func (w *watch) checkLetters(ctx context.Context, op string, dead name) error {
	if w.options.DeadLetterSubscription == "" || w.deadTopic == dead {
		return nil
	}
	rctx, cancel := context.WithTimeout(ctx, rereadTime)
	defer cancel()
	p, err := w.c.subscriptions.GetSubscription(rctx, &pubsubpb.GetSubscriptionRequest{Subscription: w.deadSub.String()}, once)
	switch {
	case status.Code(err) == codes.PermissionDenied:
		return nil // it may be read all the same
	case err != nil:
		return wrap(ctx, w.deadSub, op, err)
	case p.Topic != dead.String():
		return &drivers.Error{Code: drivers.Invalid, Queue: w.sub.String(), Op: op,
			Err:    fmt.Errorf("%s, which is named for the dead letters, is on %s, not on the dead-letter topic %s", w.deadSub, p.Topic, dead),
			Remedy: "name a subscription of the dead-letter topic with " + paramDeadLetters}
	}
	w.deadTopic = dead
	return nil
}

// letterRetention returns how long sub, the subscription of the dead letters, keeps them,
// and zero if it can't be read. It reads it seldom.
func (w *watch) letterRetention(ctx context.Context, sub name) time.Duration {
	w.deadMu.Lock()
	defer w.deadMu.Unlock()
	if w.deadKeptBy == sub && time.Since(w.deadReadAt) < retentionEvery {
		return w.deadKept
	}
	w.deadKept, w.deadKeptBy, w.deadReadAt = 0, sub, time.Now()
	rctx, cancel := context.WithTimeout(ctx, rereadTime)
	defer cancel()
	p, err := w.c.subscriptions.GetSubscription(rctx, &pubsubpb.GetSubscriptionRequest{Subscription: sub.String()}, once)
	if err == nil {
		w.deadKept = retentionOf(p)
	}
	return w.deadKept
}

// chooseLetters chooses among the subscriptions of a dead-letter topic.
func chooseLetters(topic name, subs []string) (name, error) {
	if len(subs) == 0 {
		return name{}, errors.New("the dead-letter topic has no subscription, so its letters are lost")
	}
	for _, sub := range subs {
		n, err := parseName(sub)
		if err == nil && (len(subs) == 1 || n.id == topic.id) {
			return n, nil
		}
	}
	return name{}, fmt.Errorf("the dead-letter topic has %d subscriptions: %s", len(subs), strings.Join(subs, ", "))
}
