package pubsub

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A PushSubscription is a subscription from which the service pushes to an endpoint
// (package pubsubpush). It reads messages and publishes dead letters as a [Source]
// does. Its methods may be called concurrently.
//
// The zero PushSubscription has no subscription. It reads messages nevertheless, and
// has no dead-letter topic.
type PushSubscription struct{ s *subscription }

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
	return openPush(ctx, c.borrow(), sub, o)
}

// pushable returns an error if the arguments have no meaning for an endpoint.
func pushable(sub name, o *SourceOptions) error {
	switch {
	case sub.kind != kindSubscription:
		return invalid(sub, "open", fmt.Errorf("%s is a topic; the service pushes from a subscription", sub))
	case o != nil && o.AckDeadline != 0:
		return invalid(sub, "open", errors.New("an endpoint cannot change the ack deadline of what is pushed; set the subscription's"))
	}
	return nil
}

// openPush returns a push subscription that owns one use of c, which it releases if
// it fails.
func openPush(ctx context.Context, c *clients, sub name, o *SourceOptions) (*PushSubscription, error) {
	s, err := openSubscription(ctx, &subscription{c: c, sub: sub, pushed: true}, o)
	if err != nil {
		return nil, err
	}
	return &PushSubscription{s: s}, nil
}

// Name returns the subscription's full name, or "" if it is not known.
func (p *PushSubscription) Name() string {
	if p.s == nil {
		return ""
	}
	return p.s.sub.String()
}

// Read reads a message that was pushed from the subscription with the full name
// from, which is empty if the request did not have it. The returned message owns the
// body and the attributes of rm. Read returns false if a redrive aimed the message at
// another subscription (sluice-redrive-target): the caller should acknowledge it
// and do nothing else.
//
// If the topic is not known, Read assumes that a message with the attributes of a
// dead letter is meant for this subscription: handling a message twice is better
// than losing it.
func (p *PushSubscription) Read(rm *pubsubpb.ReceivedMessage, from string) (*handler.Message, bool) {
	s := p.s
	attrs := rm.GetMessage().GetAttributes()
	if s == nil {
		s = &subscription{}
		s.sub, _ = parseName(from) // unknown if it is malformed
		_, native := attrs[nativeSubscription]
		_, ours := drivers.ParseFailure(attrs)
		if s.sub.zero() || native || ours {
			return decode(rm), true
		}
		// Otherwise it came by the topic to which it was redriven.
		if topic, err := parseName(attrs[attributeRedriveTopic]); err == nil {
			s.watch.now.Store(&config{topic: topic})
		}
	}
	if s.elsewhere(attrs) {
		return nil, false
	}
	return decode(rm), true
}

// DeadLetter publishes a message to the subscription's dead-letter topic, with the
// failure's attributes. The caller may acknowledge the message after DeadLetter has
// returned nil. Without a dead-letter topic the error's code is
// [drivers.Unsupported]. DeadLetter does not retry.
func (p *PushSubscription) DeadLetter(ctx context.Context, m *handler.Message, f *drivers.Failure) error {
	s := p.s
	switch {
	case s == nil || s.watch.current().dead.zero():
		return noDeadLetter(p.Name(), "dead-letter")
	case s.ended.Load():
		return closed(s.sub, "dead-letter")
	}
	pm, err := makeLetter(s.sub, m, f)
	if err != nil {
		return invalid(s.sub, "dead-letter", err)
	}
	publish(ctx, s.c, s.watch.current().dead, "dead-letter", []*pubsubpb.PubsubMessage{pm}, func(_ int, _ string, e error) { err = e })
	return err
}

// Capabilities returns the known capabilities of the subscription. Lease is the
// time within which a push must be answered, zero if it is not known.
func (p *PushSubscription) Capabilities() drivers.Capabilities {
	if p.s == nil {
		return drivers.Capabilities{System: system}
	}
	return p.s.caps
}

// Close frees the subscription's connection. A second call returns nil.
func (p *PushSubscription) Close() error {
	if p.s == nil {
		return nil
	}
	return p.s.close()
}
