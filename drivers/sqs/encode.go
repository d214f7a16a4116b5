package sqs

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/handler"
)

// The driver's own message attributes; see the package comment.
const (
	attributeBody   = "sluice-body"
	attributeDedupe = "sluice-dedupe-id"
	attributeGroup  = "sluice-group"
	attributeMore   = "sluice-more"

	bodyBase64 = "base64"
	bodyEmpty  = "empty"
	// emptyBody stands for an empty body, which SQS refuses.
	emptyBody = "-"

	// traceHeader is the one system attribute that a sender sets.
	traceHeader = "AWSTraceHeader"

	// wrapped begins a value that carry has wrapped.
	wrapped = `{"`

	// ownDedupe begins the deduplication IDs that the driver makes up, since a
	// FIFO queue must have one. They are no one's dedupe ID.
	ownDedupe = "sluice-"
)

// The data types of attributes, to point to.
var stringType, numberType = "String", "Number"

// sizeOfClaim is true for the attributes that say of a message that its body is
// elsewhere. The Amazon SQS Extended Client sends them with type Number
// (AmazonSQSExtendedClientUtil.updateMessageAttributePayloadSize), and finds
// them only where they stand on their own.
func sizeOfClaim(name string) bool {
	return name == "ExtendedPayloadSize" || name == "SQSLargePayloadSize"
}

// typeOf is the data type of an attribute.
func typeOf(name, value string) *string {
	if !sizeOfClaim(name) || strings.Trim(value, "0123456789") != "" {
		return &stringType
	}
	return &numberType
}

func own(name string) bool {
	switch name {
	case attributeBody, attributeDedupe, attributeGroup, attributeMore:
		return true
	}
	return false
}

// entry is a message as it is sent.
type entry struct {
	types.SendMessageBatchRequestEntry
	size int
	// hint is about how many attributes there will be.
	hint int
}

func (e *entry) set(name, value string) {
	if e.MessageAttributes == nil {
		e.MessageAttributes = make(map[string]types.MessageAttributeValue, min(e.hint, maxNames))
	}
	kind := typeOf(name, value)
	e.MessageAttributes[name] = types.MessageAttributeValue{DataType: kind, StringValue: &value}
	e.size += len(name) + len(*kind) + len(value)
}

// encode makes m what SQS takes. dedupeID is the deduplication ID on a FIFO
// queue where it is not the message's own. It does not look at the size.
func (q *queue) encode(m *handler.Message, dedupeID string) (*entry, error) {
	e := &entry{hint: len(m.Attributes) + 1}
	switch {
	case q.fifo && m.Group == "":
		return nil, q.invalid("send", errors.New("a FIFO queue takes no message without a group"),
			"set Message.Group; where order does not matter, to something different for each message")
	case m.Delay > 0 && q.fifo:
		return nil, q.invalid("send", errors.New("a FIFO queue delays no single message"), "set the queue's own DelaySeconds")
	case m.Delay > maxSendDelay:
		return nil, q.invalid("send", fmt.Errorf("delay of %v: SQS delays a sent message by %v at most", m.Delay, maxSendDelay), "")
	case m.Delay > 0:
		e.DelaySeconds = seconds(m.Delay)
	}
	e.body(m.Body)
	if m.Group != "" {
		group := token(m.Group)
		e.MessageGroupId = &group
		if group != m.Group {
			e.carry(attributeGroup, m.Group)
		}
	}
	q.deduplicate(e, m, dedupeID)
	e.attributes(m.Attributes)
	return e, nil
}

func (e *entry) body(b []byte) {
	var text string
	switch {
	case sendable(b):
		text = string(b)
	case len(b) == 0:
		text = emptyBody
		e.set(attributeBody, bodyEmpty)
	default:
		text = base64.StdEncoding.EncodeToString(b)
		e.set(attributeBody, bodyBase64)
	}
	e.MessageBody = &text
	e.size += len(text)
}

// deduplicate sets the deduplication ID. Where the sender gave none and the
// queue does not make one of the body, it is made up: SQS would refuse the
// message.
func (q *queue) deduplicate(e *entry, m *handler.Message, id string) {
	if !q.fifo {
		if m.DedupeID != "" {
			e.carry(attributeDedupe, m.DedupeID)
		}
		return
	}
	switch {
	case id != "":
		if m.DedupeID != "" {
			e.carry(attributeDedupe, m.DedupeID)
		}
	case m.DedupeID != "":
		if id = token(m.DedupeID); id != m.DedupeID {
			e.carry(attributeDedupe, m.DedupeID)
		}
	case q.contentDedupe:
		return
	default:
		id = ownDedupe + rand.Text()
	}
	e.MessageDeduplicationId = &id
}

// carry sets one of the driver's own attributes to any value: one that SQS would
// refuse, or that looks wrapped, is wrapped as attributes are.
func (e *entry) carry(name, value string) {
	if sendable(value) && !strings.HasPrefix(value, wrapped) {
		e.set(name, value)
		return
	}
	var m more
	m.add("", value)
	e.set(name, m.String())
}

// attributes adds the message's own attributes: as they are where SQS takes
// them and has room, the others in one.
func (e *entry) attributes(as map[string]string) {
	if len(as) == 0 {
		return
	}
	var rest more
	fit := 0
	for name, value := range as {
		switch {
		case name == traceHeader && sendable(value):
			e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
				traceHeader: {DataType: &stringType, StringValue: &value},
			}
		case name == traceHeader || own(name) || !nameable(name) || !sendable(value):
			rest.add(name, value)
		default:
			fit++
		}
	}
	room := maxNames - len(e.MessageAttributes)
	if !rest.empty() || fit > room {
		room--
	}
	if fit <= room {
		for name, value := range as {
			if name != traceHeader && !own(name) && nameable(name) && sendable(value) {
				e.set(name, value)
			}
		}
	} else {
		e.overflow(as, room, &rest)
	}
	if !rest.empty() {
		e.set(attributeMore, rest.String())
	}
}

// rank orders attributes by who needs to read them: claim checks, without which
// the body is not found, and tracing on any client, then the user's clients, then
// Sluice.
func rank(name string) int {
	switch {
	case sizeOfClaim(name):
		return -1
	case name == "traceparent" || name == "tracestate":
		return 0
	case strings.HasPrefix(name, "sluice-"):
		return 2
	}
	return 1
}

// overflow sets room of the attributes that SQS takes and adds the others to
// rest: the first by rank and name, the same each time, stay readable for
// everyone.
func (e *entry) overflow(as map[string]string, room int, rest *more) {
	var names []string
	for name, value := range as {
		if name != traceHeader && !own(name) && nameable(name) && sendable(value) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
	for i, name := range names {
		if i < room {
			e.set(name, as[name])
		} else {
			rest.add(name, as[name])
		}
	}
}
