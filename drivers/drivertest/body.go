package drivertest

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func bodyRules() []Rule {
	return []Rule{
		{"BODY-1", "A body of text arrives as it was sent, white space and all.", bodyText},
		{"BODY-2", "A body of any bytes arrives as it was sent.", bodyBinary},
		{"BODY-3", "An empty body arrives, with attributes and without.", bodyEmpty},
		{"BODY-4", "A body with NUL and other control characters, or characters that XML forbids, arrives as it was sent.", bodyControl},
		{"BODY-5", "A body that is not valid UTF-8 arrives as it was sent.", bodyInvalidUTF8},
		{"BODY-6", "A body that looks like an encoding or an envelope of the driver's own arrives as it was sent.", bodyLikeAnEnvelope},
		{"BODY-7", "A body of 200 KiB arrives, text and binary.", bodyLarge},
		{"BODY-8", "A message over Capabilities.MaxMessageBytes is refused as invalid, and does not arrive.", bodyTooLarge},
		{"BODY-9", "The sender's message is its own: changing it after Send does not change what arrives.", bodyIsCopied},
	}
}

func bodyText(c *check) {
	c.bodies("text", "x", " ", "\n", " edge ", "line\nline\r\n\ttab", "значение 鍵 🔑", `{"a":[1,2,"<&>"]}`, `<a b="c">&amp;</a>`, "+%20&=", "\ufeffmark")
}

func bodyBinary(c *check) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	b := c.queue(QueueOptions{})
	b.roundTrip("every byte", &handler.Message{Body: all})
	b.roundTrip("one byte", &handler.Message{Body: []byte{0x80}})
	random := make([]byte, 5000)
	source := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // any bytes will do, the same each time is better
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	b.roundTrip("random bytes", &handler.Message{Body: random})
}

func bodyEmpty(c *check) {
	b := c.queue(QueueOptions{})
	b.roundTrip("an empty body with an attribute", &handler.Message{Body: []byte{}, Attributes: map[string]string{"k": "v"}})
	b.roundTrip("a nil body with an attribute", &handler.Message{Attributes: map[string]string{"k": "v"}})
	b.roundTrip("an empty body and nothing else", &handler.Message{Body: []byte{}})
	b.roundTrip("a nil body and nothing else", &handler.Message{})
}

func bodyControl(c *check) {
	c.bodies("control characters", "\x00", "a\x00b", "\x01\x02\x03\x08\x0b\x0c\x0e\x1f", "\x7f\u0080\u009f", "\ufffe", "\uffff", "a\ufffeb", "\ufffd", "\U0001fffe\U0010ffff")
}

func bodyInvalidUTF8(c *check) {
	c.bodies("not UTF-8", "\xff", "a\xc3", "\xed\xa0\x80", "ok then \xf8\x88\x80\x80\x80", "\xc0\x80")
}

func bodyLikeAnEnvelope(c *check) {
	c.bodies("an envelope", "aGVsbG8=", "AAEC", "base64:AAEC", "data:;base64,AAEC", "sluice:base64:AAEC",
		`{"Type":"Notification","Message":"x"}`, `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]`, "null", `""`, "{}")
}

func bodyLarge(c *check) {
	b := c.queue(QueueOptions{})
	b.roundTrip("a large text", &handler.Message{Body: bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16)})
	// Base64 makes four bytes of three, and 256 KiB is the limit on some servers.
	b.roundTrip("a large binary", &handler.Message{Body: bytes.Repeat([]byte("\x00\xff\xfe01234"), 160<<10/8)})
}

func bodyTooLarge(c *check) {
	b := c.queue(QueueOptions{})
	most := b.sink.Capabilities().MaxMessageBytes
	c.needs(most > 0, "there is no limit to a message's size")
	m := &handler.Message{Body: bytes.Repeat([]byte("x"), most+1)}
	c.refused(b.answers("send", 1, b.sink.Send(c.ctx, messages(m)))[0], "sending a message that is too large", drivers.Invalid)
	b.nothing(time.Second, "the message was refused")
}

func bodyIsCopied(c *check) {
	b := c.queue(QueueOptions{})
	m := text("original")
	m.SetAttribute("k", "original")
	b.send(m)
	copy(m.Body, "scribble")
	m.Attributes["k"] = "scribble"
	got := b.receiveOne().Message
	require.Equal(c, "original", string(got.Body))
	require.Equal(c, map[string]string{"k": "original"}, got.Attributes)
}
