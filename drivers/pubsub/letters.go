package pubsub

import (
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

// The attributes that the service sets on a message that it forwards to a
// dead-letter topic itself.
const (
	nativeCount        = "CloudPubSubDeadLetterSourceDeliveryCount"
	nativeSubscription = "CloudPubSubDeadLetterSourceSubscription"
	nativeProject      = "CloudPubSubDeadLetterSourceSubscriptionProject"
	nativePublishTime  = "CloudPubSubDeadLetterSourceTopicPublishTime"
	// nativeTime is the format of the time: 2022-08-12T15:56:29.732+00:00.
	nativeTime = "2006-01-02T15:04:05.000-07:00"
)

// letterLife is how long letters remembers a receipt: longer than any lease that
// could still be settled without being extended.
const letterLife = 2 * maxDeadline

// letters remembers the deliveries whose letter was published but whose message
// could not be acknowledged yet. The settlement is then tried again, and must not
// publish a second letter.
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

// makeLetter returns the message that goes to the dead-letter topic of the
// subscription sub. A letter must not be stuck because it is too large: it is sent
// with fewer details of the failure, and finally with none.
func makeLetter(sub name, m *handler.Message, f *drivers.Failure) (*pubsubpb.PubsubMessage, error) {
	limit := maxAttributes
	if m.DedupeID == "" {
		// Another program has published it, and it was identified by its message ID
		// until now; the letter has another one.
		known := *m
		known.DedupeID = m.ID
		m = &known
	}
	if m.DedupeID != "" {
		limit--
	}
	// The letter also gets the service's own attributes, unless there is no room for
	// them beside a single one that holds the whole failure.
	native := nativeAttributes(sub, m)
	if len(drivers.WithoutFailure(m.Attributes))+1+len(native) > limit {
		native = nil
	}
	for _, f := range []*drivers.Failure{f, letter.Cut(f)} {
		letter := *m
		letter.Delay = 0
		letter.Attributes = drivers.FailureAttributes(f, m, sub.id, limit-len(native))
		withoutNative(letter.Attributes)
		maps.Copy(letter.Attributes, native)
		if pm, err := encode(&letter); err == nil && proto.Size(pm)+framing/4 <= maxRequestBytes {
			return pm, nil
		}
	}
	// Nor does it keep its sender's failure attributes.
	bare := *m
	bare.Attributes = drivers.WithoutFailure(m.Attributes)
	withoutNative(bare.Attributes)
	if pm, err := encode(&bare); err == nil {
		return pm, nil
	}
	bare.DedupeID = ""
	return encode(&bare)
}

// withoutNative removes the service's attributes of an earlier letter, and a sender's
// attributes with their names.
func withoutNative(attributes map[string]string) {
	for _, name := range [...]string{nativeCount, nativeSubscription, nativeProject, nativePublishTime} {
		delete(attributes, name)
	}
}

// nativeAttributes returns the attributes that the service would set on the letter.
func nativeAttributes(sub name, m *handler.Message) map[string]string {
	return map[string]string{
		nativeCount:        strconv.Itoa(max(m.Attempt, 1)), // unknown is at least this one
		nativeSubscription: sub.id,
		nativeProject:      sub.project,
		nativePublishTime:  m.EnqueuedAt.UTC().Format(nativeTime),
	}
}

// forwarded completes a letter that the service forwarded itself: it gets the failure
// attributes that say as much of it as is known. A message in another place than a
// dead-letter subscription may have the service's attributes from an earlier life.
func forwarded(m *handler.Message) {
	from := m.Attributes[nativeSubscription]
	if d, rejected := drivers.ParseFailure(m.Attributes); from == "" || rejected && d != (drivers.DeadLetter{Queue: from}) {
		return
	}
	m.SetAttribute(drivers.AttributeDeadLetterQueue, from)
	if n, err := strconv.Atoi(m.Attributes[nativeCount]); err == nil && n > 0 {
		m.SetAttribute(drivers.AttributeDeadLetterAttempt, strconv.Itoa(n))
	}
}
