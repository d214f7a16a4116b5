package pubsubtest

import (
	"context"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// lastAttempts records the messages that have used up the attempts of their
// subscription.
//
// pstest takes such a message for acked by its message ID when it forwards it to
// the dead-letter topic, but looks for it by its ack ID, and so forwards it again
// and again, a hundred times a second. Here its ack ID is its message ID. Clients
// have another, as of any delivery, which is translated. A nack would take the ack
// ID away, and is a lease of a second instead.
type lastAttempts struct {
	mu sync.Mutex
	// ids has the message IDs by subscription and the clients' ack ID.
	ids map[string]string
}

func lastKey(subscription, ackID string) string { return subscription + " " + ackID }

// note remembers the messages of a response that are at their last attempt. It
// copies those, because pstest keeps what it returns.
func (l *lastAttempts) note(subscription string, resp *pubsubpb.PullResponse, f *front) {
	sub, err := f.gserver().GetSubscription(context.Background(), &pubsubpb.GetSubscriptionRequest{Subscription: subscription})
	most := sub.GetDeadLetterPolicy().GetMaxDeliveryAttempts()
	if err != nil || most == 0 {
		return
	}
	var last []string
	for i, rm := range resp.ReceivedMessages {
		if rm.DeliveryAttempt < most {
			continue
		}
		resp.ReceivedMessages[i] = proto.CloneOf(rm)
		last = append(last, rm.Message.MessageId)
		l.mu.Lock()
		if l.ids == nil {
			l.ids = make(map[string]string)
		}
		l.ids[lastKey(subscription, rm.AckId)] = rm.Message.MessageId
		l.mu.Unlock()
	}
	if len(last) > 0 {
		f.peek.rename(subscription, last)
	}
}

// translate splits ack IDs into those that pstest knows and, as pstest has them,
// those of last attempts.
func (l *lastAttempts) translate(subscription string, ackIDs []string) (known, last []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ackIDs {
		if own, ok := l.ids[lastKey(subscription, id)]; ok {
			last = append(last, own)
		} else if strings.ContainsRune(id, ':') {
			known = append(known, id)
		}
	}
	return known, last
}

// stale returns those of the clients' ack IDs that hold no lease any more.
func (l *lastAttempts) stale(subscription string, ackIDs []string, p *peephole) (stale []string) {
	theirs := make(map[string]string, len(ackIDs))
	own := make([]string, len(ackIDs))
	l.mu.Lock()
	for i, id := range ackIDs {
		own[i] = id
		if mid, ok := l.ids[lastKey(subscription, id)]; ok {
			own[i] = mid
		}
		theirs[own[i]] = id
	}
	l.mu.Unlock()
	for _, id := range p.stale(subscription, own) {
		stale = append(stale, theirs[id])
	}
	return stale
}
