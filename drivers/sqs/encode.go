package sqs

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
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

	// ownDedupe begins the deduplication IDs of letters and of what is redriven.
	// They are no one's dedupe ID.
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
	// own are the driver's own attributes. They are set last, since they make
	// room for the message's.
	own []attribute
	// received are the attributes that the message was received with, if it was.
	received asReceived
}

type attribute struct{ name, value string }

func (e *entry) set(name, value string) {
	if e.MessageAttributes == nil {
		e.MessageAttributes = make(map[string]types.MessageAttributeValue, min(e.hint, maxNames))
	}
	kind := typeOf(name, value)
	e.MessageAttributes[name] = types.MessageAttributeValue{DataType: kind, StringValue: &value}
	e.size += len(name) + len(*kind) + len(value)
}

// setAs sets an attribute of the message: as it was received if nobody has
// changed it since.
func (e *entry) setAs(name, value string) {
	v, ok := e.received.unchanged(name, value)
	if !ok {
		e.set(name, value)
		return
	}
	if e.MessageAttributes == nil {
		e.MessageAttributes = make(map[string]types.MessageAttributeValue, min(e.hint, maxNames))
	}
	e.MessageAttributes[name] = v
	e.size += len(name) + len(deref(v.DataType)) + len(deref(v.StringValue)) + len(v.BinaryValue)
}

// pack adds an attribute of the message to rest, with the type that it was
// received with.
func (e *entry) pack(rest *more, name, value string) {
	if v, ok := e.received.unchanged(name, value); ok {
		rest.addTyped(name, value, deref(v.DataType))
		return
	}
	rest.add(name, value)
}

// carries reports whether SQS takes the attribute as it is. It has taken one that
// it delivered.
func (e *entry) carries(name, value string) bool {
	if name == traceHeader || own(name) {
		return false
	}
	if nameable(name) && sendable(value) {
		return true
	}
	_, ok := e.received.unchanged(name, value)
	return ok
}

// encode makes m what SQS takes. dedupeID is the deduplication ID on a FIFO
// queue where it is not the message's own. It does not look at the size, except
// that a message has to be too large without its identity, if SQS needs none.
func (q *queue) encode(m *handler.Message, dedupeID string) (*entry, error) {
	id := m.DedupeID
	if id == "" {
		id = identity.New()
	}
	e, err := q.encodeAs(m, dedupeID, id, true)
	if err == nil && q.maxBytes > 0 && e.size > q.maxBytes && (q.fifo && dedupeID == "" || identity.Made(id)) {
		// The message alone may fit. A FIFO queue has the ID in its own field.
		return q.encodeAs(m, dedupeID, id, false)
	}
	return e, err
}

// encodeAs is encode for a message whose identity is id. The identity travels as
// an attribute if carried is true.
func (q *queue) encodeAs(m *handler.Message, dedupeID, id string, carried bool) (*entry, error) {
	e := &entry{hint: len(m.Attributes) + 1, received: receivedWith(m)}
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
	if q.fifo {
		e.MessageDeduplicationId = q.deduplicationID(dedupeID, id)
	}
	as := m.Attributes
	if theirs, full := e.received.full(as); full && len(e.own) == 0 {
		// It goes as it came: another client has to find all of its attributes.
		// Only an ID that a handler has given to a message of its own stays.
		carried = carried && len(theirs) == len(as) && !q.fifo && dedupeID == "" && id == m.DedupeID && !identity.Made(id)
		as = theirs
	}
	if carried {
		e.carry(attributeDedupe, id)
	}
	e.attributes(as)
	return e, nil
}

func (e *entry) body(b []byte) {
	var text string
	switch {
	case sendable(b):
		text = string(b)
	case len(b) == 0:
		text = emptyBody
		e.carry(attributeBody, bodyEmpty)
	default:
		text = base64.StdEncoding.EncodeToString(b)
		e.carry(attributeBody, bodyBase64)
	}
	e.MessageBody = &text
	e.size += len(text)
}

// deduplicationID is what a FIFO queue deduplicates by: given, if it is not
// empty, or else the message's identity. A queue with content-based deduplication
// makes it of the body itself if the sender gave none: two messages with one body
// are then duplicates, though their identities differ.
func (q *queue) deduplicationID(given, id string) *string {
	switch {
	case given != "":
		return &given
	case q.contentDedupe && identity.Made(id):
		return nil
	}
	id = token(id)
	return &id
}

// carry sets one of the driver's own attributes to any value: one that SQS would
// refuse, or that looks wrapped, is wrapped as attributes are.
func (e *entry) carry(name, value string) {
	if !sendable(value) || strings.HasPrefix(value, wrapped) {
		var m more
		m.add("", value)
		value = m.String()
	}
	e.own = append(e.own, attribute{name, value})
}

// attributes adds the message's own attributes and the driver's: as they are if
// SQS takes them and has room, the others in one.
func (e *entry) attributes(as map[string]string) {
	var rest more
	fit := 0
	for name, value := range as {
		switch {
		case name == traceHeader && sendable(value):
			e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
				traceHeader: {DataType: &stringType, StringValue: &value},
			}
		case e.carries(name, value):
			fit++
		default:
			rest.add(name, value)
		}
	}
	room := maxNames
	if !rest.empty() || fit+len(e.own) > room {
		room--
	}
	if fit+len(e.own) <= room {
		for _, a := range e.own {
			e.set(a.name, a.value)
		}
		for name, value := range as {
			if e.carries(name, value) {
				e.setAs(name, value)
			}
		}
	} else {
		e.overflow(as, room, &rest)
	}
	if !rest.empty() {
		e.set(attributeMore, rest.String())
	}
}

// The ranks of attributes, by who needs to read them: claim checks, without which
// the body is not found, on any client, then the user's clients, then Sluice.
// Tracing comes before the user's attributes if not all of these are readable in
// any case, and otherwise after them.
const (
	rankClaim = iota
	rankTrace
	rankUser
	rankLateTrace
	rankSluice
)

func rank(name string) int {
	switch {
	case sizeOfClaim(name):
		return rankClaim
	case name == "traceparent" || name == "tracestate":
		return rankTrace
	case strings.HasPrefix(name, "sluice-"):
		return rankSluice
	}
	return rankUser
}

// overflow sets room of the attributes and adds the others to rest: the first by
// rank and name, the same each time, stay readable for everyone. The driver's own
// come last, since no other client knows them.
func (e *entry) overflow(as map[string]string, room int, rest *more) {
	type ranked struct {
		name string
		rank int
	}
	var names []ranked
	first := 0 // claims and the user's
	for name, value := range as {
		if e.carries(name, value) {
			r := rank(name)
			names = append(names, ranked{name, r})
			if r == rankClaim || r == rankUser {
				first++
			}
		}
	}
	if first <= room {
		for i := range names {
			if names[i].rank == rankTrace {
				names[i].rank = rankLateTrace
			}
		}
	}
	slices.SortFunc(names, func(a, b ranked) int { return cmp.Or(a.rank-b.rank, strings.Compare(a.name, b.name)) })
	for i := range names {
		if name := names[i].name; i < room {
			e.setAs(name, as[name])
		} else {
			e.pack(rest, name, as[name])
		}
	}
	room -= min(room, len(names))
	for i, a := range e.own {
		if i < room {
			e.set(a.name, a.value)
		} else {
			rest.addOwn(a.name, a.value)
		}
	}
}
