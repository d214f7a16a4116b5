package pubsub

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/internal/protocol"
	"github.com/sluice-go/sluice/handler"
)

// slab is the number of messages of a Pull that are allocated together: few, so that
// a message that is kept for long holds little memory of others. Seven, with the header
// that the allocator adds, waste the least.
const slab = 7

// An intake makes deliveries of the messages that a Pull brings. It sets aside those
// that a redrive aimed at another subscription.
type intake struct {
	receiver
	ds      []drivers.Delivery // without their leases
	foreign []string           // ack IDs

	left int               // how many messages are still to come
	free []handler.Message // of the last slab

	// A message is kept with its identity, by stores of what was handled as well; its
	// ack ID is dropped when it is settled.
	identities, ackIDs, attributes protocol.Texts
	bodies                         protocol.Bodies
}

// options returns options of the Pull. On a connection that is the driver's alone the
// answer is decoded into the intake, without the SDK's types: its PullResponse has no
// messages then.
func (in *intake) options() []gax.CallOption {
	if !in.c.private {
		return nil
	}
	return []gax.CallOption{gax.WithGRPCOptions(grpc.ForceCodecV2(&protocol.Codec{Start: in.start, Add: in.add}))}
}

// start expects n messages, and drops those that were added before.
func (in *intake) start(n int) {
	in.left, in.foreign, in.ds = n, nil, nil
	if n > 0 {
		in.ds = make([]drivers.Delivery, 0, n)
	}
}

// addAll adds messages of the SDK.
func (in *intake) addAll(rms []*pubsubpb.ReceivedMessage) {
	in.start(len(rms))
	for _, rm := range rms {
		m := in.next()
		decodeTo(m, rm)
		in.take(m, rm.GetAckId())
	}
}

// add adds a message that was decoded here.
func (in *intake) add(from *protocol.Message) {
	m := in.next()
	m.ID = in.identities.Copy(from.ID, in.left)
	m.Group = in.identities.Copy(from.Group, in.left)
	m.Attempt = int(from.Attempt)
	m.Body = in.bodies.Copy(from.Data, in.left)
	if from.Timed {
		m.EnqueuedAt = time.Unix(from.Seconds, int64(from.Nanos)).UTC()
	}
	for _, a := range from.Attributes {
		if string(a.Name) == attributeDedupeID {
			m.DedupeID = in.identities.Copy(a.Value, in.left)
			continue
		}
		if m.Attributes == nil {
			m.Attributes = make(map[string]string, len(from.Attributes))
		}
		m.Attributes[in.attributes.Copy(a.Name, in.left)] = in.attributes.Copy(a.Value, in.left)
	}
	in.take(m, in.ackIDs.Copy(from.AckID, in.left))
}

// next returns the place of the next message, which is zero.
func (in *intake) next() *handler.Message {
	if len(in.free) == 0 {
		in.free = make([]handler.Message, min(slab, in.left))
	}
	return &in.free[0]
}

// take takes the message that next returned, or sets it aside.
func (in *intake) take(m *handler.Message, ackID string) {
	in.left--
	if in.elsewhere(m.Attributes) {
		in.foreign = append(in.foreign, ackID)
		*m = handler.Message{}
		return
	}
	finish(m)
	if in.dead {
		forwarded(m)
	}
	in.ds = append(in.ds, drivers.Delivery{Message: m, Receipt: ackID})
	in.free = in.free[1:]
}
