package sqs

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	claimnames "github.com/sluice-go/sluice/internal/attribute"
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

	// wrapped is the beginning of a value that carry has wrapped.
	wrapped = `{"`

	// ownDedupe is the beginning of the deduplication IDs of letters and redriven
	// messages. Senders do not use such IDs.
	ownDedupe = "sluice-"
)

// The data types of attributes, as variables so that entries can point to them.
var stringType, numberType = "String", "Number"

// sizeOfClaim reports whether name is an attribute that marks a message whose body
// is stored elsewhere. The Amazon SQS Extended Client sends it with type Number
// (AmazonSQSExtendedClientUtil.updateMessageAttributePayloadSize), and finds it
// only as a separate message attribute.
func sizeOfClaim(name string) bool {
	return claimnames.IsClaimSize(name)
}

// typeOf returns the data type of an attribute. SQS refuses a number of more than 38 digits.
func typeOf(name, value string) *string {
	if !sizeOfClaim(name) {
		return &stringType
	}
	if _, err := strconv.ParseUint(value, 10, 64); err != nil {
		return &stringType
	}
	return &numberType
}

// own reports whether name is one of the driver's own attributes.
func own(name string) bool {
	switch name {
	case attributeBody, attributeDedupe, attributeGroup, attributeMore:
		return true
	}
	return false
}

// An entry is the encoded form of a message.
type entry struct {
	types.SendMessageBatchRequestEntry
	size int
	// hint is the approximate number of attributes.
	hint int
	// text and group are those that the request's fields point to.
	text, group string
	// own are the driver's own attributes. They are set last, since they yield
	// their places to the message's. Most entries have no more than ownRoom.
	own     []attribute
	ownRoom [1]attribute
	// received are the attributes with which the message was received; nil if it
	// was not received from SQS.
	received asReceived
}

type attribute struct{ name, value string }

// spareMaps are the attributes of messages that were sent. A map for one attribute
// takes as much memory as one for eight, a kilobyte, and most messages have one.
var spareMaps = sync.Pool{New: func() any { return make(map[string]types.MessageAttributeValue, 1) }}

func (e *entry) set(name, value string) { e.setText(name, &value) }

// setText is set with the value at an address that stays as long as the entry.
func (e *entry) setText(name string, value *string) {
	kind := typeOf(name, *value)
	e.ready()[name] = types.MessageAttributeValue{DataType: kind, StringValue: value}
	e.size += len(name) + len(*kind) + len(*value)
}

// ready returns the map of attributes.
func (e *entry) ready() map[string]types.MessageAttributeValue {
	if e.MessageAttributes == nil {
		if e.hint <= 1 {
			e.MessageAttributes, _ = spareMaps.Get().(map[string]types.MessageAttributeValue)
		} else {
			e.MessageAttributes = make(map[string]types.MessageAttributeValue, min(e.hint, maxNames))
		}
	}
	return e.MessageAttributes
}

// release gives the entry's memory to others. The entry was sent for the last time,
// and no request reads it any more.
func (e *entry) release() {
	if e.hint <= 1 && e.MessageAttributes != nil {
		clear(e.MessageAttributes)
		spareMaps.Put(e.MessageAttributes)
		e.MessageAttributes = nil
	}
}

// setAs sets an attribute of the message. It keeps the received type and value if
// the attribute was not changed since.
func (e *entry) setAs(name, value string) {
	v, ok := e.received.unchanged(name, value)
	if !ok {
		e.set(name, value)
		return
	}
	e.ready()[name] = v
	e.size += len(name) + len(deref(v.DataType)) + len(deref(v.StringValue)) + len(v.BinaryValue)
}

// pack adds an attribute of the message to rest, with its received type if it was
// not changed since.
func (e *entry) pack(rest *more, name, value string) {
	if v, ok := e.received.unchanged(name, value); ok {
		rest.addTyped(name, value, deref(v.DataType))
		return
	}
	rest.add(name, value)
}

// carries reports whether SQS accepts the attribute unescaped. It accepts any
// attribute that it has delivered.
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

func (e *entry) body(b []byte) {
	switch {
	case sendable(b):
		e.text = string(b)
	case len(b) == 0:
		e.text = emptyBody
		e.carry(attributeBody, bodyEmpty)
	default:
		e.text = base64.StdEncoding.EncodeToString(b)
		e.carry(attributeBody, bodyBase64)
	}
	e.MessageBody = &e.text
	e.size += len(e.text)
}

// carry sets one of the driver's own attributes to any value. A value that SQS would
// refuse, or that looks wrapped, is wrapped as attributes are.
func (e *entry) carry(name, value string) {
	if !sendable(value) || strings.HasPrefix(value, wrapped) {
		var m more
		m.add("", value)
		value = m.String()
	}
	if e.own == nil {
		e.own = e.ownRoom[:0]
	}
	e.own = append(e.own, attribute{name, value})
}

// attributes adds the message's own attributes and the driver's. Those that SQS
// refuses, or has no room for, go into one attribute together.
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
		for i := range e.own {
			e.setText(e.own[i].name, &e.own[i].value)
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

// The ranks of attributes, by the clients that need to read them: claim checks,
// without which no client finds the body, then the user's attributes, then
// Sluice's. Tracing comes before the user's attributes if some of these have to be
// packed anyway, and after them otherwise.
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

// overflow sets as many attributes as there is room for and adds the others to
// rest. The first by rank and name, which is a fixed order, stay readable for every
// client. The driver's own come last, since no other client knows them. It sorts
// the attributes: O(n log n).
func (e *entry) overflow(as map[string]string, room int, rest *more) {
	type ranked struct {
		name string
		rank int
	}
	var names []ranked
	first := 0 // number of claims and of the user's attributes
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
	// The stable sort is as fast for so few, and a quarter of the code.
	slices.SortStableFunc(names, func(a, b ranked) int { return cmp.Or(a.rank-b.rank, strings.Compare(a.name, b.name)) })
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
