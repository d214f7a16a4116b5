package sqs

import (
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// FuzzDecode has the driver read what a foreign sender may send: no panic, and
// what was read can be sent on and is then read the same.
func FuzzDecode(f *testing.F) {
	f.Add("body", "name", "value", "String", "3", "1795492055285", "g", "d")
	f.Add("AAEC", attributeBody, bodyBase64, "String", "1", "0", "", "")
	f.Add("-", attributeBody, bodyEmpty, "String", "1", "0", "", "")
	f.Add("x", attributeMore, `{"text":{"sluice-more":"{}","a":"b"},"raw":{"/w==":"AA=="}}`, "String", "99999999999", "-1", "", "")
	f.Add("x", attributeDedupe, `{"text":{"":"d"}}`, "String", "", "", "g", "")
	f.Add("x", "sluice-dead-letter", `{"reason":"r","attributes":{"a":"b"}}`, "String", "", "", "", "")
	f.Add("x", "number", "1", "Number", "", "", "", "")
	f.Fuzz(func(t *testing.T, body, name, value, kind, receives, sent, group, dedupe string) {
		q := &queue{name: "q"}
		in := &types.Message{
			Body:              &body,
			MessageAttributes: map[string]types.MessageAttributeValue{name: {DataType: &kind, StringValue: &value}},
			Attributes:        map[string]string{sysReceives: receives, sysSent: sent, sysGroup: group, sysDedupe: dedupe},
		}
		var m handler.Message
		decoder{q}.decode(in, &m)
		require.GreaterOrEqual(t, m.Attempt, 0)
		for name := range m.Attributes {
			// A failure that was not UTF-8 when it was packed cannot be kept.
			if !utf8.ValidString(name) {
				return
			}
		}
		e, err := encoder{q}.encode(&m, "")
		require.NoError(t, err)
		var again handler.Message
		decoder{q}.decode(carried(t, q, e), &again)
		require.Equal(t, string(m.Body), string(again.Body))
		if m.DedupeID == "" {
			require.NotEmpty(t, again.DedupeID, "a message without an identity gets one when it is sent")
		} else {
			require.Equal(t, m.DedupeID, again.DedupeID)
		}
		require.Equal(t, m.Group, again.Group)
		require.Equal(t, m.Attributes, again.Attributes)
	})
}

func FuzzSendable(f *testing.F) {
	for _, s := range []string{"", "x", "\x00", "\ufffe", "\U0010ffff", "\xed\xa0\x80", "\t\r\n", "\x7f", "a\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := s != "" && utf8.ValidString(s)
		for _, r := range s {
			ok := r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000
			want = want && ok
		}
		require.Equal(t, want, sendable(s))
		require.Equal(t, want, sendable([]byte(s)))
	})
}
