package pubsub

import (
	"context"
	"errors"
	"sync/atomic"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Sink sends to a topic. It is a [drivers.Sink]. Its methods may be called
// concurrently.
type Sink struct {
	c      *clients
	topic  name
	target name // the subscription for which redriven messages are meant; or zero
	caps   drivers.Capabilities
	ended  atomic.Bool
}

var _ drivers.Sink = (*Sink)(nil)

// NewSink returns a sink that sends to a topic, given by its full name, with the
// caller's own clients, which must outlive it. A subscription's full name means its
// topic, and needs the client for subscriptions. NewSink returns an error if the
// topic does not exist or may not be published to.
func NewSink(ctx context.Context, c Clients, topic string) (*Sink, error) {
	n, err := parseName(topic)
	if err == nil && (c.Topics == nil || n.kind == kindSubscription && c.Subscriptions == nil) {
		err = errors.New("a sink needs the client for topics and, to find a subscription's topic, the client for subscriptions")
	}
	if err != nil {
		return nil, invalid(n, "open", err)
	}
	return openSink(ctx, c.borrow(), n)
}

// openSink returns a sink that owns one use of c, which it releases if it fails.
func openSink(ctx context.Context, c *clients, n name) (s *Sink, err error) {
	tctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			_ = c.release() // the other error is the one to report
		}
	}()
	// A publisher keeps a group's order. Each subscription decides whether it keeps
	// it too.
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
		// A publisher does not need the right to read the topic. Every caller may
		// test its own rights.
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

// newSink returns a sink that owns one use of c.
func newSink(c *clients, topic, target name, ordered bool) *Sink {
	return &Sink{c: c, topic: topic, target: target, caps: drivers.Capabilities{
		Queue: topic.id, System: system, Server: c.server(),
		MaxReceive: maxPull, MaxSettle: maxAckIDs, MaxExtend: maxAckIDs, MaxSend: maxPublish,
		MaxMessageBytes: maxMessageBytes, MaxBatchBytes: maxMessageBytes, MaxAttributes: maxAttributes,
		MaxSendGroup: maxPublish,
		Ordered:      ordered,
	}}
}

// Send implements [drivers.Sink]. Messages of one group are sent in order, those of
// different groups in separate, concurrent requests.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error {
	if s.ended.Load() {
		return all(len(ms), closed(s.topic, "send"))
	}
	out := &outcome{n: len(ms)}
	pms := make([]*pubsubpb.PubsubMessage, len(ms))
	var held map[string]bool // groups with a refused message
	for i, m := range ms {
		if held[m.Group] {
			out.set(i, blocked(s.topic, "send"))
			continue
		}
		pm, err := s.encode(m)
		if err != nil {
			out.set(i, err)
			if m.Group != "" {
				if held == nil {
					held = make(map[string]bool, 1)
				}
				held[m.Group] = true
			}
			continue
		}
		pms[i] = pm
	}
	publish(ctx, s.c, s.topic, "send", pms, func(i int, id string, err error) {
		if err == nil {
			ms[i].ID = id
			return
		}
		if s.ended.Load() {
			err = closed(s.topic, "send")
		}
		out.set(i, err)
	})
	return out.errs
}

func (s *Sink) encode(m *handler.Message) (*pubsubpb.PubsubMessage, error) {
	if m.Delay > 0 {
		return nil, &drivers.Error{Code: drivers.Unsupported, Queue: s.topic.String(), Op: "send", Err: errDelay}
	}
	if !s.target.zero() {
		m = s.aimed(m)
	}
	pm, err := encode(withIdentity(m))
	if err != nil {
		return nil, invalid(s.topic, "send", err)
	}
	return pm, nil
}

// aimed returns a copy of a message that names the only subscription for which it is
// meant.
func (s *Sink) aimed(m *handler.Message) *handler.Message {
	out := *m
	out.Attributes = make(map[string]string, len(m.Attributes)+2)
	for k, v := range m.Attributes {
		out.Attributes[k] = v
	}
	out.Attributes[attributeRedriveTarget] = s.target.String()
	out.Attributes[attributeRedriveTopic] = s.topic.String()
	return &out
}

// Capabilities implements [drivers.Sink].
func (s *Sink) Capabilities() drivers.Capabilities { return s.caps }

// Close implements [drivers.Sink].
func (s *Sink) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	return s.c.release()
}
