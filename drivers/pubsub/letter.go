package pubsub

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/letter"
)

// The attributes that the service gives to a message which it forwards to a
// dead-letter topic itself.
const (
	nativeCount        = "CloudPubSubDeadLetterSourceDeliveryCount"
	nativeSubscription = "CloudPubSubDeadLetterSourceSubscription"
	nativeProject      = "CloudPubSubDeadLetterSourceSubscriptionProject"
	nativePublishTime  = "CloudPubSubDeadLetterSourceTopicPublishTime"
	// nativeTime is how it writes the time: 2022-08-12T15:56:29.732+00:00.
	nativeTime = "2006-01-02T15:04:05.000-07:00"
)

// letterLife is how long it is remembered that a letter was published: longer
// than any lease that could still be settled without being extended.
const letterLife = 2 * maxDeadline

// letters remembers the deliveries whose letter was published but whose message
// could not be acknowledged yet. The settlement is then tried again, and must not
// write a second letter.
type letters struct {
	mu   sync.Mutex
	sent map[string]time.Time // when, by receipt
}

func (l *letters) has(receipt string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.sent[receipt]
	return ok
}

func (l *letters) add(receipt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.sent == nil {
		l.sent = make(map[string]time.Time)
	}
	if len(l.sent) > maxAckIDs {
		maps.DeleteFunc(l.sent, func(_ string, at time.Time) bool { return now.Sub(at) > letterLife })
	}
	l.sent[receipt] = now
}

func (l *letters) forget(receipt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sent, receipt)
}

// reject publishes the messages with the given indexes to the dead-letter topic
// and acknowledges those that it took.
func (s *Source) reject(ctx context.Context, ss []drivers.Settlement, dead []int, out *outcome) {
	topic := s.current().dead
	pms := make([]*pubsubpb.PubsubMessage, len(dead))
	taken := make([]bool, len(dead))
	for n, i := range dead {
		switch {
		case topic.zero():
			out.set(i, &drivers.Error{Code: drivers.Unsupported, Queue: s.sub.String(), Op: "dead-letter",
				Err: errors.New("the subscription has no dead-letter topic"), Remedy: remedyNoDeadLetter})
		case s.letters.has(ss[i].Receipt):
			taken[n] = true
		case ss[i].Message == nil:
			out.set(i, invalid(s.sub, "dead-letter", errors.New("the settlement has no message to send")))
		default:
			pm, err := s.letter(ss[i].Message, ss[i].Failure)
			if err != nil {
				out.set(i, invalid(s.sub, "dead-letter", err))
				continue
			}
			pms[n] = pm
		}
	}
	s.c.publish(ctx, topic, "dead-letter", pms, func(n int, _ string, err error) {
		if err != nil {
			if drivers.CodeOf(err) == drivers.NotFound {
				s.watch.Doubt()
			}
			out.set(dead[n], err)
			return
		}
		taken[n] = true
		s.letters.add(ss[dead[n]].Receipt)
	})
	acks := dead[:0]
	for n, i := range dead {
		if taken[n] {
			acks = append(acks, i)
		}
	}
	if len(acks) == 0 {
		return
	}
	s.acknowledge(ctx, acks, func(i int) string { return ss[i].Receipt }, func(i int, err error) {
		if err == nil || drivers.CodeOf(err) == drivers.LeaseLost {
			s.letters.forget(ss[i].Receipt)
		}
		out.set(i, err)
	})
}

// letter makes the message that goes to the dead-letter topic. One that gets too
// large with all that is known of the failure goes with less, and at last with
// nothing of it: it must not be stuck for that.
func (s *Source) letter(m *handler.Message, f *drivers.Failure) (*pubsubpb.PubsubMessage, error) {
	limit := maxAttributes
	if m.DedupeID == "" {
		// Another program has published it. Until now it was known by its message
		// ID; the letter has another.
		known := *m
		known.DedupeID = m.ID
		m = &known
	}
	if m.DedupeID != "" {
		limit--
	}
	// The service's own kind of attributes come besides, unless there is no room
	// for them next to a single one that holds the whole failure.
	native := s.nativeAttributes(m)
	if len(drivers.WithoutFailure(m.Attributes))+1+len(native) > limit {
		native = nil
	}
	for _, f := range []*drivers.Failure{f, letter.Cut(f)} {
		letter := *m
		letter.Delay = 0
		letter.Attributes = drivers.FailureAttributes(f, m, s.caps.Queue, limit-len(native))
		withoutNative(letter.Attributes)
		maps.Copy(letter.Attributes, native)
		if pm, err := encode(&letter); err == nil && proto.Size(pm)+framing/4 <= maxRequestBytes {
			return pm, nil
		}
	}
	// Nor with what its sender says of a failure.
	bare := *m
	bare.Attributes = drivers.WithoutFailure(m.Attributes)
	withoutNative(bare.Attributes)
	if pm, err := encode(&bare); err == nil {
		return pm, nil
	}
	bare.DedupeID = ""
	return encode(&bare)
}

// withoutNative removes the service's attributes of an earlier letter, and those
// that a sender has called so.
func withoutNative(attributes map[string]string) {
	for _, name := range [...]string{nativeCount, nativeSubscription, nativeProject, nativePublishTime} {
		delete(attributes, name)
	}
}

// nativeAttributes are those that the service would give to the letter.
func (s *Source) nativeAttributes(m *handler.Message) map[string]string {
	return map[string]string{
		nativeCount:        strconv.Itoa(max(m.Attempt, 1)), // unknown is at least this one
		nativeSubscription: s.sub.id,
		nativeProject:      s.sub.project,
		nativePublishTime:  m.EnqueuedAt.UTC().Format(nativeTime),
	}
}
