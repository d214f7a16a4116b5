package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
)

// The parameters of a queue URL; see the package's comment.
const (
	paramAckDeadline = "ack_deadline"
	paramDeadLetter  = "dead_letter"
	paramDeadLetters = "dead_letter_subscription"
	paramEndpoint    = "endpoint"
	// These two are for plan, apply and doctor. Whoever sends or receives has no
	// use for them, and a queue has one URL for all.
	paramTopic  = "topic"
	paramNumber = "project_number"
)

// sourceParams are the parameters that a subscription's URL may have.
var sourceParams = []string{paramAckDeadline, paramDeadLetter, paramDeadLetters, paramEndpoint, paramTopic, paramNumber}

// openTimeout bounds the requests that open a queue, so that a service out of
// reach is told at once.
const openTimeout = 20 * time.Second

// permissionPublish is what a sink needs on its topic.
const permissionPublish = "pubsub.topics.publish"

// An Opener opens queues by URL. It is a [drivers.Opener]. Each source and sink
// that it opens has a connection of its own, and closes it. The zero Opener is
// ready for use.
type Opener struct {
	// ClientOptions are the options of the SDK's clients, such as
	// option.WithAuthCredentials. Nil means that they find their credentials by
	// themselves. An emulator gets none of the options.
	ClientOptions []option.ClientOption
	// ProjectNumber finds the number of a project, which is part of the name of
	// Pub/Sub's service agent in it, to whom Apply grants what native
	// dead-lettering needs. Nil means that Resource Manager is asked, and on an
	// emulator that no grants are looked at; a URL's project_number comes first.
	ProjectNumber func(ctx context.Context, project string) (string, error)
}

var _ drivers.Opener = (*Opener)(nil)

// Schemes implements [drivers.Opener].
func (o *Opener) Schemes() []string { return []string{Scheme} }

// OpenSource implements [drivers.Opener]. The URL names a subscription.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	if err := drivers.CheckParams(u, sourceParams...); err != nil {
		return nil, err
	}
	sub, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if sub.kind == kindTopic {
		return nil, &drivers.Error{Code: drivers.Invalid, Queue: sub.String(), Op: "open",
			Err: errors.New("messages are received from a subscription, not from a topic"),
			Remedy: fmt.Sprintf("open %s://projects/%s/subscriptions/ID; gcloud pubsub topics list-subscriptions %s lists those of the topic",
				Scheme, sub.project, sub)}
	}
	so, err := sourceOptions(sub, u.Query(), opts)
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, sub, u.Query().Get(paramEndpoint), o.ClientOptions)
	if err != nil {
		return nil, err
	}
	s, err := newSource(ctx, c, sub, so)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// sourceOptions gathers a source's options from the URL and from the program.
func sourceOptions(sub name, q url.Values, opts *drivers.Options) (*SourceOptions, error) {
	so := &SourceOptions{DeadLetter: q.Get(paramDeadLetter), DeadLetterSubscription: q.Get(paramDeadLetters)}
	if opts != nil {
		so.Logger = opts.Logger
		if so.DeadLetter != "" && opts.DeadLetter != "" && so.DeadLetter != opts.DeadLetter {
			return nil, invalid(sub, "open", fmt.Errorf("the URL names the dead-letter topic %q and the configuration %q: name one of them",
				so.DeadLetter, opts.DeadLetter))
		}
		if opts.DeadLetter != "" {
			so.DeadLetter = opts.DeadLetter
		}
	}
	if v := q.Get(paramAckDeadline); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < time.Second {
			return nil, invalid(sub, "open", fmt.Errorf("%s=%s: it is a duration from 1s to %v", paramAckDeadline, v, maxDeadline))
		}
		so.AckDeadline = d
	}
	return so, nil
}

// OpenSink implements [drivers.Opener]. The URL names a topic, or a subscription
// whose topic is meant. Parameters that only a source heeds may be in it, since
// one URL may serve for both, except that a topic has none of them.
func (o *Opener) OpenSink(ctx context.Context, u *url.URL, _ *drivers.Options) (drivers.Sink, error) {
	n, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	known := []string{paramEndpoint}
	if n.kind == kindSubscription {
		known = sourceParams
	}
	if err := drivers.CheckParams(u, known...); err != nil {
		return nil, err
	}
	c, err := dial(ctx, n, u.Query().Get(paramEndpoint), o.ClientOptions)
	if err != nil {
		return nil, err
	}
	s, err := openSink(ctx, c, n)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// NewSink returns a sink that sends to a topic, given by its full name, with the
// caller's own clients, which must outlive it. A subscription's full name means
// its topic, and needs the client for subscriptions. It returns an error where
// the topic is not there, or may not be published to.
func NewSink(ctx context.Context, c Clients, topic string) (*Sink, error) {
	n, err := parseName(topic)
	if err == nil && (c.Topics == nil || n.kind == kindSubscription && c.Subscriptions == nil) {
		err = errors.New("a sink needs the client for topics, and for a subscription's topic that for subscriptions")
	}
	if err != nil {
		return nil, invalid(n, "open", err)
	}
	return openSink(ctx, c.borrow(), n)
}

// openSink returns a sink that owns one use of c, which it releases when it fails.
func openSink(ctx context.Context, c *clients, n name) (s *Sink, err error) {
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			_ = c.release() // the error to tell is the other one
		}
	}()
	// A publisher keeps a group's order. Whether it is kept further on is up to
	// each subscription.
	ordered := true
	if n.kind == kindSubscription {
		sub, err := c.subscriptions.GetSubscription(tctx, &pubsubpb.GetSubscriptionRequest{Subscription: n.String()}, once)
		if err != nil {
			return nil, wrap(ctx, n, "open", err)
		}
		if sub.Topic == deletedTopic {
			return nil, &drivers.Error{Code: drivers.NotFound, Queue: n.String(), Op: "open", Err: errTopicGone}
		}
		if n, err = parseName(sub.Topic); err != nil {
			return nil, invalid(n, "open", err)
		}
		ordered = sub.EnableMessageOrdering
	}
	_, err = c.topics.GetTopic(tctx, &pubsubpb.GetTopicRequest{Topic: n.String()}, once)
	if status.Code(err) == codes.PermissionDenied {
		// A publisher need not have the right to look at the topic. Anyone may
		// ask which rights he has.
		may, testErr := c.topics.TestIamPermissions(tctx, &iampb.TestIamPermissionsRequest{
			Resource: n.String(), Permissions: []string{permissionPublish},
		}, once)
		if testErr == nil && len(may.GetPermissions()) > 0 {
			err = nil
		}
	}
	if err != nil {
		return nil, wrap(ctx, n, "open", err)
	}
	return newSink(c, n, name{}, ordered), nil
}
