package pubsub

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
)

// Attributes that this driver adds to a message. Other clients may ignore them.
const (
	// attributeDedupeID carries the message's dedupe ID, for which Pub/Sub has
	// no field, or the identity of a message that has none.
	attributeDedupeID = "sluice-dedupe-id"
	// attributeEmpty marks a message with neither body nor attributes, which
	// Pub/Sub would refuse.
	attributeEmpty = "sluice-empty"
	// attributeRedriveTarget is the full name of the only subscription for which
	// a redriven message is meant. A redrive publishes a letter again, and the
	// topic delivers it to all of its subscriptions: the others filter it out, or
	// their sources acknowledge and skip it.
	attributeRedriveTarget = "sluice-redrive-target"
	// attributeRedriveTopic is the full name of the topic to which that message
	// was published. A source skips a message only if its subscription is on that
	// topic: a redriven message that fails again reaches the dead-letter topic
	// with its attributes, and must not be skipped there.
	attributeRedriveTopic = "sluice-redrive-topic"
)

// escapePrefix is put before the name of an attribute that Pub/Sub refuses or that
// this driver uses itself.
const escapePrefix = "sluice-esc-"

// The service's limits of a message and of a publish request.
const (
	maxAttributes   = 100
	maxKeyBytes     = 256
	maxValueBytes   = 1024
	maxGroupBytes   = 1024
	maxRequestBytes = 10_000_000
	// framing bounds the names, tags and lengths in a request, in bytes, which
	// come on top of the bodies and attributes that [drivers.Capabilities] count.
	framing         = 4096
	maxMessageBytes = maxRequestBytes - framing
)

// withIdentity returns m with an identity. If there is no room for an identity, other
// than one that the sender has set, it returns m without.
func withIdentity(m *handler.Message) *handler.Message {
	if m.DedupeID != "" && (!identity.Made(m.DedupeID) || check(m) == nil) {
		return m
	}
	out := *m
	if out.DedupeID == "" {
		out.DedupeID = identity.New()
		if check(&out) == nil {
			return &out
		}
	}
	out.DedupeID = ""
	return &out
}

// encode returns the message that is published for m. It shares m's body, and its
// attributes if none of them has to change.
func encode(m *handler.Message) (*pubsubpb.PubsubMessage, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	pm := &pubsubpb.PubsubMessage{Data: m.Body, OrderingKey: m.Group, Attributes: m.Attributes}
	changed := m.DedupeID != "" || len(m.Body)+len(m.Attributes) == 0
	for k := range m.Attributes {
		changed = changed || mustEscape(k)
	}
	if !changed {
		return pm, nil
	}
	pm.Attributes = make(map[string]string, len(m.Attributes)+1)
	for k, v := range m.Attributes {
		pm.Attributes[escape(k)] = v
	}
	if m.DedupeID != "" {
		pm.Attributes[attributeDedupeID] = m.DedupeID
	}
	if len(m.Body)+len(pm.Attributes) == 0 {
		pm.Attributes[attributeEmpty] = "1"
	}
	return pm, nil
}

// check returns an error if Pub/Sub would refuse m, and with it the rest of its
// request.
func check(m *handler.Message) error {
	n := len(m.Attributes)
	size := len(m.Body) + len(m.Group) + len(m.DedupeID)
	if m.DedupeID != "" {
		n++
		if len(m.DedupeID) > maxValueBytes || !utf8.ValidString(m.DedupeID) {
			return fmt.Errorf("the dedupe ID must be UTF-8 of at most %d bytes, but has %d", maxValueBytes, len(m.DedupeID))
		}
	}
	if n > maxAttributes {
		return fmt.Errorf("the message has %d attributes, including its dedupe ID; the limit of Pub/Sub is %d", n, maxAttributes)
	}
	if len(m.Group) > maxGroupBytes || !utf8.ValidString(m.Group) {
		return fmt.Errorf("the group must be UTF-8 of at most %d bytes, but has %d", maxGroupBytes, len(m.Group))
	}
	for k, v := range m.Attributes {
		switch {
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return fmt.Errorf("attribute %q is not UTF-8; Pub/Sub accepts other bytes only in the body", k)
		case len(escape(k)) > maxKeyBytes:
			return fmt.Errorf("the name of attribute %.40q… has %d bytes when escaped; the limit of Pub/Sub is %d", k, len(escape(k)), maxKeyBytes)
		case len(v) > maxValueBytes:
			return fmt.Errorf("the value of attribute %q has %d bytes; the limit of Pub/Sub is %d", k, len(v), maxValueBytes)
		}
		size += len(k) + len(v)
	}
	if size > maxMessageBytes {
		return fmt.Errorf("body and attributes have %d bytes together; the limit of Pub/Sub is %d", size, maxMessageBytes)
	}
	return nil
}

// mustEscape reports whether the attribute name k needs the prefix.
func mustEscape(k string) bool {
	switch k {
	case "", attributeDedupeID, attributeEmpty:
		return true
	}
	// The service refuses names that begin with goog in upper or lower case, except
	// the client libraries' own, such as googclient_traceparent.
	reserved := len(k) >= 4 && strings.EqualFold(k[:4], "goog") && !strings.HasPrefix(k, "googclient_")
	return reserved || strings.HasPrefix(k, escapePrefix)
}

func escape(k string) string {
	if mustEscape(k) {
		return escapePrefix + k
	}
	return k
}

// decode decodes a received message. The result owns its body and attributes.
func decode(rm *pubsubpb.ReceivedMessage) *handler.Message {
	m := new(handler.Message)
	decodeTo(m, rm)
	finish(m)
	return m
}

// decodeTo fills m from a message of the SDK, but for what finish does.
func decodeTo(m *handler.Message, rm *pubsubpb.ReceivedMessage) {
	pm := rm.GetMessage()
	*m = handler.Message{
		ID:         pm.GetMessageId(),
		Body:       pm.GetData(),
		Attributes: pm.GetAttributes(),
		Group:      pm.GetOrderingKey(),
		Attempt:    int(rm.GetDeliveryAttempt()),
	}
	if at := pm.GetPublishTime(); at != nil {
		m.EnqueuedAt = at.AsTime()
	}
	if id, ok := m.Attributes[attributeDedupeID]; ok {
		m.DedupeID = id
		delete(m.Attributes, attributeDedupeID)
	}
}

// finish turns the attributes that m has on the wire, without the dedupe ID, into those
// that it was sent with.
func finish(m *handler.Message) {
	if _, ok := m.Attributes[attributeEmpty]; ok && len(m.Body) == 0 {
		delete(m.Attributes, attributeEmpty)
	}
	unescape(m.Attributes)
	drivers.UnpackFailure(m.Attributes)
	if from := m.Attributes[nativeSubscription]; from != "" {
		// The service forwards a message with its attributes. If they name another
		// queue or none, they are the sender's, or those of an earlier failure.
		if d, failed := drivers.ParseFailure(m.Attributes); failed && d.Queue != from {
			m.Attributes = drivers.WithoutFailure(m.Attributes)
			m.Attributes[drivers.AttributeDeadLetterQueue] = from
		}
	}
	if len(m.Attributes) == 0 {
		m.Attributes = nil
	}
}

// unescape removes the prefix from the names that have one, once.
func unescape(attrs map[string]string) {
	escaped := false
	for k := range attrs {
		escaped = escaped || strings.HasPrefix(k, escapePrefix)
	}
	if !escaped {
		return
	}
	was := maps.Clone(attrs)
	clear(attrs)
	for k, v := range was {
		attrs[strings.TrimPrefix(k, escapePrefix)] = v
	}
}

// errDelay is the error of a message with a delay.
var errDelay = errors.New("Pub/Sub cannot delay a message; send it when it is due, or to a queue that can")
