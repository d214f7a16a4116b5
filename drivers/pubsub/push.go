package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A PushSubscription is a subscription as the endpoint sees it to which the
// service pushes (package pubsubpush): it reads messages as a [Source] does, and
// writes dead letters as a Source does. Its methods may be called concurrently.
//
// The zero PushSubscription knows no subscription. It reads messages all the
// same, and has no dead-letter topic.
type PushSubscription struct{ s *Source }

// OpenPush opens a subscription for the endpoint that it pushes to. The queue is
// its URL, with the parameters that [Opener.OpenSource] heeds except
// ack_deadline: how long a push may take is up to the subscription alone. It
// returns the errors that OpenSource does, but does not mind whether the
// subscription pushes yet. Close it last.
func (o *Opener) OpenPush(ctx context.Context, queue string, opts *drivers.Options) (*PushSubscription, error) {
	u, err := url.Parse(queue)
	if err != nil || u.Scheme != Scheme {
		return nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: errors.New("malformed Pub/Sub URL"),
			Remedy: "a push subscription is " + Scheme + "://projects/PROJECT/subscriptions/ID"}
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
	return newPush(ctx, c, sub, so)
}

// NewPushSubscription is [Opener.OpenPush] with the subscription's full name and
// the caller's own clients, which must outlive it. Nil options are the zero ones.
func NewPushSubscription(ctx context.Context, c Clients, subscription string, o *SourceOptions) (*PushSubscription, error) {
	sub, err := parseName(subscription)
	if err == nil && (c.Subscriptions == nil || c.Topics == nil) {
		err = errors.New("a push subscription needs the clients for subscriptions and for topics")
	}
	if err != nil {
		return nil, invalid(sub, "open", err)
	}
	if err := pushable(sub, o); err != nil {
		return nil, err
	}
	return newPush(ctx, c.borrow(), sub, o)
}

// pushable refuses what has no meaning for an endpoint.
func pushable(sub name, o *SourceOptions) error {
	switch {
	case sub.kind != kindSubscription:
		return invalid(sub, "open", fmt.Errorf("%s is a topic; the service pushes from a subscription", sub))
	case o != nil && o.AckDeadline != 0:
		return invalid(sub, "open", errors.New("an endpoint cannot change the ack deadline of what is pushed; set the subscription's"))
	}
	return nil
}

func newPush(ctx context.Context, c *clients, sub name, o *SourceOptions) (*PushSubscription, error) {
	s, err := begin(ctx, &Source{c: c, sub: sub, pushed: true}, o)
	if err != nil {
		return nil, err
	}
	return &PushSubscription{s: s}, nil
}

// Name is the subscription's full name, empty where it is not known.
func (p *PushSubscription) Name() string {
	if p.s == nil {
		return ""
	}
	return p.s.sub.String()
}

// Read reads a message that was pushed from the subscription of the given full
// name, which is empty where the request did not tell. It takes the message's
// body and attributes over. It is false where a redrive aimed the message at
// another subscription ([AttributeRedriveTarget]): acknowledge it and do nothing
// else.
//
// Where the topic is not known, a message that bears the marks of a dead letter
// is never taken to be meant for others: better to handle a message once too
// often than to lose it.
func (p *PushSubscription) Read(rm *pubsubpb.ReceivedMessage, subscription string) (*handler.Message, bool) {
	s := p.s
	attrs := rm.GetMessage().GetAttributes()
	if s == nil {
		s = &Source{}
		s.sub, _ = parseName(subscription) // unknown where it is malformed
		_, native := attrs[nativeSubscription]
		_, ours := drivers.ParseFailure(attrs)
		if s.sub.zero() || native || ours {
			return decode(rm), true
		}
		// Otherwise it came by the topic that it was redriven over.
		if topic, err := parseName(attrs[AttributeRedriveTopic]); err == nil {
			s.watch.now.Store(&config{topic: topic})
		}
	}
	switch s.aim(attrs) {
	case aimedElsewhere:
		return nil, false
	case aimedHere:
		delete(attrs, AttributeRedriveTarget)
		delete(attrs, AttributeRedriveTopic)
	}
	return decode(rm), true
}

// DeadLetter publishes a message to the subscription's dead-letter topic, with
// what is known of the failure. The message may be acknowledged once it has
// returned nil. Without a dead-letter topic the error's code is
// [drivers.Unsupported]. It does not retry.
func (p *PushSubscription) DeadLetter(ctx context.Context, m *handler.Message, f *drivers.Failure) error {
	s := p.s
	switch {
	case s == nil || s.current().dead.zero():
		return &drivers.Error{Code: drivers.Unsupported, Queue: p.Name(), Op: "dead-letter",
			Err: errors.New("the subscription has no dead-letter topic"), Remedy: remedyNoDeadLetter}
	case s.ended.Load():
		return closed(s.sub, "dead-letter")
	}
	pm, err := s.letter(m, f)
	if err != nil {
		return invalid(s.sub, "dead-letter", err)
	}
	s.c.publish(ctx, s.current().dead, "dead-letter", []*pubsubpb.PubsubMessage{pm}, func(_ int, _ string, e error) { err = e })
	return err
}

// Capabilities says what is known of the subscription. Lease is the time within
// which a push must be answered; zero where that is not known.
func (p *PushSubscription) Capabilities() drivers.Capabilities {
	if p.s == nil {
		return drivers.Capabilities{System: System}
	}
	return p.s.caps
}

// Close frees what the subscription holds. A second call returns nil.
func (p *PushSubscription) Close() error {
	if p.s == nil {
		return nil
	}
	return p.s.Close()
}
