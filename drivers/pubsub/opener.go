package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"google.golang.org/api/option"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// The parameters of a queue URL; see the package's comment.
const (
	paramAckDeadline = "ack_deadline"
	paramDeadLetter  = "dead_letter"
	paramDeadLetters = "dead_letter_subscription"
	paramEndpoint    = "endpoint"
	// These two are for plan, apply and doctor. Sources and sinks ignore them, since
	// a queue has one URL for all.
	paramTopic  = "topic"
	paramNumber = "project_number"
)

// sourceParams are the parameters that a subscription's URL may have.
var sourceParams = []string{paramAckDeadline, paramDeadLetter, paramDeadLetters, paramEndpoint, paramTopic, paramNumber}

// openTimeout bounds the requests that open a queue, so that an unreachable service
// is reported soon.
const openTimeout = 20 * time.Second

// permissionPublish is the permission that a sink needs on its topic.
const permissionPublish = "pubsub.topics.publish"

// An Opener opens queues by URL. It is a [drivers.Opener]. Each source and sink
// that it opens has its own connection, and closes it. The zero Opener is ready to
// use. Its methods may be called concurrently.
type Opener struct {
	// ClientOptions are the options of the SDK's clients, such as
	// option.WithAuthCredentials. Nil means the Application Default Credentials.
	// They are not used for an emulator. They may add interceptors that read what is
	// received, so with options a source decodes messages by the SDK, which takes a
	// quarter more processor time for a message.
	ClientOptions []option.ClientOption
	// ProjectNumber returns the number of a project, which is part of the name of
	// Pub/Sub's service agent in it. Apply grants this agent the roles that native
	// dead-lettering needs. Nil means a request to Resource Manager; at an emulator
	// it means that grants are ignored. A URL's project_number takes precedence.
	ProjectNumber func(ctx context.Context, project string) (string, error)
}

var (
	_ drivers.Opener     = (*Opener)(nil)
	_ provision.Planner  = (*Opener)(nil)
	_ provision.Examiner = (*Opener)(nil)
	_ provision.Namer    = (*Opener)(nil)
)

// Schemes implements [drivers.Opener].
func (o *Opener) Schemes() []string { return []string{scheme} }

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
				scheme, sub.project, sub)}
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

// OpenSink implements [drivers.Opener]. The URL names a topic, or a subscription
// whose topic is meant. A subscription's URL may have parameters for a source, since
// one URL may serve for both; a topic's may not.
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

// OpenPush opens a subscription for the endpoint to which it pushes. The queue is
// its URL, with the parameters of [Opener.OpenSource] except ack_deadline: the
// subscription alone decides how long a push may take. OpenPush returns the errors
// that OpenSource does, but accepts a subscription whether or not it pushes yet. The
// caller must close the subscription after the endpoint.
func (o *Opener) OpenPush(ctx context.Context, queue string, opts *drivers.Options) (*PushSubscription, error) {
	u, err := url.Parse(queue)
	if err != nil || u.Scheme != scheme {
		return nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: errors.New("malformed Pub/Sub URL"),
			Remedy: "a push subscription is " + scheme + "://projects/PROJECT/subscriptions/ID"}
	}
	if err := drivers.CheckParams(u, sourceParams...); err != nil {
		return nil, err
	}
	sub, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	so, err := sourceOptions(sub, u.Query(), opts)
	if err == nil {
		err = pushable(sub, so)
	}
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, sub, u.Query().Get(paramEndpoint), o.ClientOptions)
	if err != nil {
		return nil, err
	}
	return openPush(ctx, c, sub, so)
}

// Plan reads the subscription that u names, its topic, its dead-letter topic and
// the subscription on that, and returns the steps that make them what s asks for,
// the dead-letter topic first. The topic is the one that the URL's topic parameter
// names, or the one that the subscription is on, or else one with the
// subscription's ID. See [provision.Planner].
func (o *Opener) Plan(ctx context.Context, u *url.URL, s *provision.Spec) (*provision.Plan, error) {
	return planFor(ctx, o, u, s)
}

// Examine reads the facts about the subscription that u names and about its dead
// letters. Facts that this program may not ask for (metrics, alert policies,
// access policies) stay unknown. See [provision.Examiner].
func (o *Opener) Examine(ctx context.Context, u *url.URL) (*provision.State, error) {
	return examine(ctx, o, u)
}

// Names names the subscription, its topic and those of its dead letters; of a topic, only
// the topic. A subscription whose URL does not name its topic is taken to have one of its
// own name, and dead letters a subscription of their topic's name. See [provision.Namer].
func (*Opener) Names(u *url.URL, s *provision.Spec) (*provision.Names, error) { return namesOf(u, s) }

// regional matches the beginning of the address of a regional host of Pub/Sub.
var regional = regexp.MustCompile(`^https://[a-z0-9-]+-pubsub\.googleapis\.com/`)

// Suggest returns the queue URL for a resource name of Pub/Sub, such as
// projects/P/subscriptions/S, with or without the service's host before it. It
// returns "" for any other s.
func (*Opener) Suggest(s string) string {
	s = regional.ReplaceAllString(s, "https://pubsub.googleapis.com/")
	for _, prefix := range []string{"https:", "//pubsub.googleapis.com/", "v1/", "/"} {
		s = strings.TrimPrefix(s, prefix)
	}
	parts := strings.Split(s, "/")
	if len(parts) != 4 || parts[0] != "projects" || parts[1] == "" || parts[3] == "" ||
		parts[2] != "subscriptions" && parts[2] != "topics" {
		return ""
	}
	return scheme + "://" + s
}

// numberOf returns a project's number, or errNoPolicies at an emulator that needs none.
func (o *Opener) numberOf(ctx context.Context, project string) (string, error) {
	switch {
	case o.ProjectNumber != nil:
		return o.ProjectNumber(ctx, project)
	case emulatorHost() != "":
		return "", errNoPolicies
	}
	return lookUpNumber(ctx, project, o.ClientOptions...)
}

// sourceOptions returns a source's options, from the URL and from the program.
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
			return nil, invalid(sub, "open", fmt.Errorf("%s=%s: it must be a duration from 1s to %v", paramAckDeadline, v, maxDeadline))
		}
		so.AckDeadline = d
	}
	return so, nil
}
