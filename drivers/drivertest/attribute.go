package drivertest

import (
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/handler"
)

func attributeRules() []Rule {
	return []Rule{
		{"ATTR-1", "An attribute's name may be any UTF-8 string that is not empty.", attributeNames},
		{"ATTR-2", "An attribute's value may be any UTF-8 string, control characters included.", attributeValues},
		{"ATTR-3", "Ten attributes arrive.", tenAttributes},
		{"ATTR-4", "Eleven attributes arrive, or the message is refused as invalid when it is sent.", elevenAttributes},
		{"ATTR-5", "An attribute with an empty value arrives, with its empty value.", emptyValue},
		{"ATTR-6", "A message without attributes arrives without: a driver's own attributes are not shown.", noAttributes},
		{"ATTR-7", "Names that differ in case only are two attributes.", attributeCase},
		{"ATTR-8", "An attribute whose name or value looks like an escape of the driver's own arrives as it was sent.", attributeEscapes},
		{"ATTR-9", "An attribute that is not valid UTF-8 arrives as it was sent, or the message is refused as invalid; it is never mangled.", attributeInvalidUTF8},
		{"ATTR-10", "A message with attributes and a binary body arrives with both.", attributesBesideBinary},
		{"ATTR-11", "A value of a thousand bytes arrives.", longValue},
	}
}

func messages(ms ...*handler.Message) []*handler.Message { return ms }

func clone(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func attributed(kv ...string) *handler.Message {
	m := text("attributed")
	for i := 0; i < len(kv); i += 2 {
		m.SetAttribute(kv[i], kv[i+1])
	}
	return m
}

func attributeNames(c *check) {
	b := c.queue(QueueOptions{})
	for _, n := range []string{
		"plain", "with space", " edge ", "dotted.name", ".leading", "trailing.", "two..dots", "a/b:c=d&e?f#g%h",
		"aws.reserved", "AWS.Reserved", "Amazon.x", "googclient_x", "goog-reserved", "x-goog-x", "ключ", "鍵", "🔑", "e\u0301", "tab\tand\nline", "\x00\x01", "\"quoted\\\"",
		"__0x20__", "%20", "~", "-", "_", "0",
	} {
		b.roundTrip(fmt.Sprintf("attribute named %q", n), attributed(n, "value"))
	}
}

func attributeValues(c *check) {
	b := c.queue(QueueOptions{})
	for _, v := range []string{
		"plain", " ", " edge ", "line\nline\r\n", "\t", "\x00", "\x01\x02\x1f\x7f", "значение", "🔑🔑", "\ufeff", "\ufffd", "\ufffe\uffff", "\U0010ffff",
		`{"json":"yes"}`, "<xml>&amp;</xml>", "a=b&c=d%20", "1.5", "true", "null",
	} {
		b.roundTrip(fmt.Sprintf("attribute with the value %q", v), attributed("k", v))
	}
}

func manyAttributes(n int) *handler.Message {
	m := text("attributed")
	for i := range n {
		m.SetAttribute(fmt.Sprintf("name-%d", i), fmt.Sprintf("value-%d", i))
	}
	return m
}

func tenAttributes(c *check) { c.queue(QueueOptions{}).roundTrip("ten attributes", manyAttributes(10)) }

func elevenAttributes(c *check) {
	b := c.queue(QueueOptions{})
	b.faithfulOrRefused("eleven attributes", manyAttributes(11))
	if most := b.sink.Capabilities().MaxAttributes; most > 0 {
		b.roundTrip(fmt.Sprintf("as many attributes as Capabilities.MaxAttributes says (%d)", most), manyAttributes(most))
	}
}

func emptyValue(c *check) {
	c.queue(QueueOptions{}).roundTrip("an empty value", attributed("empty", "", "full", "x"))
}

func noAttributes(c *check) {
	b := c.queue(QueueOptions{})
	b.roundTrip("no attributes", text("none"))
	b.roundTrip("an empty map", &handler.Message{Body: []byte("empty"), Attributes: map[string]string{}})
	b.roundTrip("a binary body without attributes", text("\x00\xff"))
	b.roundTrip("an empty body without attributes", text(""))
	b.roundTrip("a group and a dedupe ID without attributes", &handler.Message{Body: []byte("x"), Group: "g", DedupeID: "d"})
}

func attributeCase(c *check) {
	c.queue(QueueOptions{}).roundTrip("two cases of one name", attributed("Name", "upper", "name", "lower", "NAME", "all"))
}

func attributeEscapes(c *check) {
	b := c.queue(QueueOptions{})
	for _, s := range []string{
		"sluice-encoding", "sluice-dedupe-id", "sluice-group", "sluice-body-encoding", "sluice.encoding", "Sluice-Encoding", "sluice-empty", handler.AttributeExpires,
		"__0x2e__", "__0x__", "%00", "%25", "%", "=00", "\\x00", "base64", "base64:AAEC", "YmFzZTY0", "sluice:empty", "sluice:base64:AA==",
	} {
		b.roundTrip(fmt.Sprintf("attribute named %q", s), attributed(s, "value"))
		b.roundTrip(fmt.Sprintf("attribute with the value %q", s), attributed("k", s, "other", "x"))
		b.roundTrip(fmt.Sprintf("attribute %q beside a binary body", s), &handler.Message{Body: []byte("\x00\xff"), Attributes: map[string]string{s: s}})
	}
}

func attributeInvalidUTF8(c *check) {
	b := c.queue(QueueOptions{})
	b.faithfulOrRefused("a value that is not UTF-8", attributed("k", "a\xffb"))
	b.faithfulOrRefused("a name that is not UTF-8", attributed("a\xffb", "v"))
	b.faithfulOrRefused("an empty name", attributed("", "v"))
}

func attributesBesideBinary(c *check) {
	m := manyAttributes(9)
	m.Body = []byte("\x00\x01\xfe\xff")
	c.queue(QueueOptions{}).roundTrip("nine attributes and a binary body", m)
}

func longValue(c *check) {
	c.queue(QueueOptions{}).roundTrip("a long value", attributed("long", strings.Repeat("0123456789", 100)))
}
