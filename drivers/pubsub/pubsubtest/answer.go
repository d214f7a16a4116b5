package pubsubtest

import (
	"context"
	"sync/atomic"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/protobuf/proto"
)

const (
	// maxAnswer is how many bytes of messages a Pull returns, unless its one
	// message is larger.
	maxAnswer = 10_000_000
	// besides is what a message in an answer may have beside what was published:
	// its ack ID, and the attributes of a forwarded letter.
	besides = 1024
	// maxPull is how many messages a Pull returns.
	maxPull = 1000
)

// answers fill the answers to Pulls. pstest leases as many messages as are
// requested, and a response that is too large to send leaves them in flight
// without a holder. So a message is leased only if there is room for the largest
// that was published.
type answers struct {
	largest atomic.Int64 // bytes
}

// expect is called before messages are published.
func (a *answers) expect(ms []*pubsubpb.PubsubMessage) {
	for _, m := range ms {
		n := sizeOf(m)
		for old := a.largest.Load(); n > old && !a.largest.CompareAndSwap(old, n); {
			old = a.largest.Load()
		}
	}
}

// fill leases what an answer to r has room for. It does not wait.
func (a *answers) fill(ctx context.Context, g *pstest.GServer, r *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	out := &pubsubpb.PullResponse{}
	most, room := int64(min(r.MaxMessages, maxPull)), int64(maxAnswer)
	for {
		fits := min(most, room/max(a.largest.Load(), 1))
		if len(out.ReceivedMessages) == 0 {
			fits = max(fits, 1)
		}
		if fits <= 0 {
			return out, nil
		}
		resp, err := g.Pull(ctx, &pubsubpb.PullRequest{
			Subscription: r.Subscription, MaxMessages: int32(fits),
			ReturnImmediately: true, //nolint:staticcheck // deprecated for clients; here it turns off pstest's own wait
		})
		if err != nil && len(out.ReceivedMessages) == 0 {
			return nil, err
		}
		got := resp.GetReceivedMessages()
		for _, rm := range got {
			room -= sizeOf(rm.Message)
		}
		out.ReceivedMessages = append(out.ReceivedMessages, got...)
		most -= int64(len(got))
		if int64(len(got)) < fits {
			return out, nil
		}
	}
}

func sizeOf(m *pubsubpb.PubsubMessage) int64 { return int64(proto.Size(m)) + besides }
