package pubsub

import (
	"context"
	"sync/atomic"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Sink sends to a topic. It is a [drivers.Sink].
type Sink struct {
	c      *clients
	topic  name
	target name // the only subscription that is meant, for a redrive
	caps   drivers.Capabilities
	ended  atomic.Bool
}

var _ drivers.Sink = (*Sink)(nil)

func newSink(c *clients, topic, target name, ordered bool) *Sink {
	return &Sink{c: c, topic: topic, target: target, caps: drivers.Capabilities{
		Queue: topic.id, System: System, Server: c.server(),
		MaxReceive: maxPull, MaxSettle: maxAckIDs, MaxExtend: maxAckIDs, MaxSend: maxPublish,
		MaxMessageBytes: maxMessageBytes, MaxBatchBytes: maxMessageBytes, MaxAttributes: maxAttributes,
		MaxDelay: maxDeadline, MaxSendDelay: -1, MaxExtension: maxDeadline,
		Ordered: ordered,
	}}
}

// Send implements [drivers.Sink]. Messages of one group are sent in order, those
// of different groups in requests of their own, several at once.
func (s *Sink) Send(ctx context.Context, ms []*handler.Message) []error {
	if s.ended.Load() {
		return all(len(ms), closed(s.topic, "send"))
	}
	out := &outcome{n: len(ms)}
	pms := make([]*pubsubpb.PubsubMessage, len(ms))
	var held map[string]bool // groups of which a message was refused
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
	s.c.publish(ctx, s.topic, "send", pms, func(i int, id string, err error) {
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

// aimed is a copy of a message that names the one subscription it is for.
func (s *Sink) aimed(m *handler.Message) *handler.Message {
	out := *m
	out.Attributes = make(map[string]string, len(m.Attributes)+2)
	for k, v := range m.Attributes {
		out.Attributes[k] = v
	}
	out.Attributes[AttributeRedriveTarget] = s.target.String()
	out.Attributes[AttributeRedriveTopic] = s.topic.String()
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
