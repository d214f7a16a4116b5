package sqs

import (
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
)

// An encoder makes entries of messages that are sent to a queue.
type encoder struct{ *queue }

// encode returns the entry of m. On a FIFO queue dedupeID, unless it is empty,
// replaces the message's own deduplication ID. encode ignores the queue's maximum
// message size, with one exception: if the entry is too large and SQS does not need
// the identity, it leaves the identity out.
func (c encoder) encode(m *handler.Message, dedupeID string) (*entry, error) {
	id := m.DedupeID
	if id == "" {
		id = identity.New()
	}
	e, err := c.encodeAs(m, dedupeID, id, true)
	if err == nil && c.maxBytes > 0 && e.size > c.maxBytes && (c.fifo && dedupeID == "" || identity.Made(id)) {
		// The message alone may fit. A FIFO queue has the ID in its own field.
		return c.encodeAs(m, dedupeID, id, false)
	}
	return e, err
}

// encodeAs is encode for a message whose identity is id. The identity travels as
// an attribute if carried is true.
func (c encoder) encodeAs(m *handler.Message, dedupeID, id string, carried bool) (*entry, error) {
	e := &entry{hint: len(m.Attributes) + 1, received: receivedWith(m)}
	switch {
	case c.fifo && m.Group == "":
		return nil, c.invalid("send", errors.New("a FIFO queue requires a group for each message"),
			"set Message.Group; if order does not matter, to a different value for each message")
	case m.Delay > 0 && c.fifo:
		return nil, c.invalid("send", errors.New("a FIFO queue cannot delay single messages"), "set the queue's own DelaySeconds")
	case m.Delay > maxSendDelay:
		return nil, c.invalid("send", fmt.Errorf("delay of %v: SQS delays a sent message by %v at most", m.Delay, maxSendDelay), "")
	case m.Delay > 0:
		e.DelaySeconds = seconds(m.Delay)
	}
	e.body(m.Body)
	if m.Group != "" {
		e.group = token(m.Group)
		e.MessageGroupId = &e.group
		if e.group != m.Group {
			e.carry(attributeGroup, m.Group)
		}
	}
	if c.fifo {
		e.MessageDeduplicationId = c.deduplicationID(dedupeID, id)
	}
	as := m.Attributes
	if theirs, full := e.received.full(as); full && len(e.own) == 0 {
		// The message goes as it came, so that another client finds all of its
		// attributes. It keeps only an ID that a handler has given to its own copy.
		carried = carried && len(theirs) == len(as) && !c.fifo && dedupeID == "" && id == m.DedupeID && !identity.Made(id)
		as = theirs
	}
	if carried {
		e.carry(attributeDedupe, id)
	}
	e.attributes(as)
	return e, nil
}

// deduplicationID returns the ID by which a FIFO queue deduplicates: given, unless
// it is empty, or else the message's identity. It returns nil if the sender gave no
// ID and the queue has content-based deduplication. Such a queue hashes the body,
// so that two messages with equal bodies are duplicates although their identities
// differ.
func (c encoder) deduplicationID(given, id string) *string {
	switch {
	case given != "":
		return &given
	case c.contentDedupe && identity.Made(id):
		return nil
	}
	id = token(id)
	return &id
}
