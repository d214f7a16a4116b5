package protocol

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The tags of the fields that a parser knows. A tag is the field's number and its wire
// type, in the one byte that encoders write; a longer form of it is unknown here.
const (
	tagReceived = 1<<3 | byte(protowire.BytesType) // of PullResponse

	tagAckID   = 1<<3 | byte(protowire.BytesType) // of ReceivedMessage
	tagMessage = 2<<3 | byte(protowire.BytesType)
	tagAttempt = 3<<3 | byte(protowire.VarintType)

	tagData      = 1<<3 | byte(protowire.BytesType) // of PubsubMessage
	tagAttribute = 2<<3 | byte(protowire.BytesType)
	tagID        = 3<<3 | byte(protowire.BytesType)
	tagPublished = 4<<3 | byte(protowire.BytesType)
	tagGroup     = 5<<3 | byte(protowire.BytesType)

	tagSeconds = 1<<3 | byte(protowire.VarintType) // of Timestamp
	tagNanos   = 2<<3 | byte(protowire.VarintType)

	tagName  = 1<<3 | byte(protowire.BytesType) // of an entry of attributes
	tagValue = 2<<3 | byte(protowire.BytesType)
)

// A parser parses the messages of an answer one after another. It fails on what it does
// not know. Once it has failed its results mean nothing.
type parser struct {
	message Message
	failed  bool
}

// count returns how many messages an answer has, and false if it has anything else.
func count(answer []byte) (n int, ok bool) {
	var p parser
	for len(answer) > 0 && !p.failed {
		if answer[0] != tagReceived {
			return 0, false
		}
		_, answer = p.bytes(answer[1:])
		n++
	}
	return n, !p.failed
}

// next parses the first message of an answer that count has accepted. It returns the rest
// of the answer.
func (p *parser) next(answer []byte) []byte {
	b, rest := p.bytes(answer[1:])
	p.message = Message{Attributes: p.message.Attributes[:0]}
	p.received(b)
	return rest
}

func (p *parser) received(b []byte) {
	m := &p.message
	var seen fields
	for len(b) > 0 && !p.failed {
		tag := p.tag(b, &seen)
		b = b[1:]
		switch tag {
		case tagAckID:
			m.AckID, b = p.text(b)
		case tagMessage:
			var inner []byte
			inner, b = p.bytes(b)
			p.published(inner)
		case tagAttempt:
			var v uint64
			v, b = p.number(b)
			m.Attempt = int32(v) // the SDK cuts off the rest as well
		default:
			p.failed = true
		}
	}
}

func (p *parser) published(b []byte) {
	m := &p.message
	var seen fields
	for len(b) > 0 && !p.failed {
		if b[0] == tagAttribute { // the only one that repeats
			var entry []byte
			entry, b = p.bytes(b[1:])
			p.attribute(entry)
			continue
		}
		tag := p.tag(b, &seen)
		b = b[1:]
		switch tag {
		case tagData:
			m.Data, b = p.bytes(b)
		case tagID:
			m.ID, b = p.text(b)
		case tagPublished:
			var inner []byte
			inner, b = p.bytes(b)
			m.Timed = true
			p.timestamp(inner)
		case tagGroup:
			m.Group, b = p.text(b)
		default:
			p.failed = true
		}
	}
}

func (p *parser) timestamp(b []byte) {
	m := &p.message
	var seen fields
	for len(b) > 0 && !p.failed {
		tag := p.tag(b, &seen)
		var v uint64
		v, b = p.number(b[1:])
		switch tag {
		case tagSeconds:
			m.Seconds = int64(v)
		case tagNanos:
			m.Nanos = int32(v)
		default:
			p.failed = true
		}
	}
}

func (p *parser) attribute(b []byte) {
	var a Attribute
	var seen fields
	for len(b) > 0 && !p.failed {
		tag := p.tag(b, &seen)
		var text []byte
		text, b = p.text(b[1:])
		switch tag {
		case tagName:
			a.Name = text
		case tagValue:
			a.Value = text
		default:
			p.failed = true
		}
	}
	p.message.Attributes = append(p.message.Attributes, a)
}

// fields are the tags that a message has had, a bit for each. Those that are known are
// below 64.
type fields uint64

// tag returns the tag at the beginning of b, which is not empty. It fails if seen has it:
// the SDK merges a field that is given twice.
func (p *parser) tag(b []byte, seen *fields) byte {
	bit := fields(1) << (b[0] % 64)
	if *seen&bit != 0 {
		p.failed = true
	}
	*seen |= bit
	return b[0]
}

// number parses a number. It returns what follows it.
func (p *parser) number(b []byte) (v uint64, rest []byte) {
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		p.failed = true
		return 0, nil
	}
	return v, b[n:]
}

// bytes parses a length and so many bytes. It returns what follows them.
func (p *parser) bytes(b []byte) (value, rest []byte) {
	size, b := p.number(b)
	if size > uint64(len(b)) {
		p.failed = true
		return nil, nil
	}
	return b[:size], b[size:]
}

// text parses a string, which is UTF-8: the SDK refuses any other.
func (p *parser) text(b []byte) (value, rest []byte) {
	value, rest = p.bytes(b)
	if !utf8.Valid(value) {
		p.failed = true
	}
	return value, rest
}
