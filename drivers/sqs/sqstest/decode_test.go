package sqstest

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestDecodeStrings(t *testing.T) {
	tests := []struct {
		name, in, want string
		bad            bool
	}{
		{"plain", `"orders"`, "orders", false},
		{"empty", `""`, "", false},
		{"null is empty", `null`, "", false},
		{"not ASCII", `"größe 🚚"`, "größe 🚚", false},
		{"escapes", `"a\"b\\c\/d\b\f\n\r\t"`, "a\"b\\c/d\b\f\n\r\t", false},
		{"unicode escape", `"\u00e9\u4e16"`, "é世", false},
		{"surrogate pair", `"\ud83d\ude9a"`, "🚚", false},
		{"text after an escape", `"\n and on"`, "\n and on", false},
		{"no end", `"orders`, "", true},
		{"no end after an escape", `"orders\n`, "", true},
		{"ends in a backslash", `"orders\`, "", true},
		{"unknown escape", `"\x"`, "", true},
		{"short unicode escape", `"\u00e"`, "", true},
		{"control character", "\"a\x01\"", "", true},
		{"control character after an escape", "\"\\n\x01\"", "", true},
		{"a number", `12`, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var q sendRequest
			err := decode([]byte(`{"MessageBody":`+tt.in+`}`), &q)
			if tt.bad {
				require.NotNil(t, err)
				return
			}
			require.Nil(t, err)
			require.Equal(t, tt.want, string(q.MessageBody))
		})
	}
}

func TestDecodeKeepsWhatIsNotUTF8(t *testing.T) {
	for _, in := range []string{`"\ud800"`, `"\ud800\u0041"`, `"\udc00x"`, "\"\xff\"", "\"\\n\xff\""} {
		var q sendRequest
		require.Nil(t, decode([]byte(`{"MessageBody":`+in+`,"MessageAttributes":{"a":{"StringValue":`+in+`}}}`), &q), in)
		for _, got := range [][]byte{q.MessageBody, q.MessageAttributes[0].value} {
			require.False(t, utf8.Valid(got), "%s became %q, which SQS would take", in, got)
		}
	}
}

func TestDecodedTextIsACopy(t *testing.T) {
	document := []byte(`{"MessageBody":"orders"}`)
	var q sendRequest
	require.Nil(t, decode(document, &q))
	copy(document, strings.Repeat("x", len(document)))
	require.Equal(t, "orders", string(q.MessageBody))
}

func TestDecodeIntegers(t *testing.T) {
	tests := []struct {
		in   string
		want any
	}{
		{"0", 0}, {"20", 20}, {"-1", -1}, {"2147483647", 2147483647}, {"null", nil},
		{"2147483648", "error"}, {"1.5", "error"}, {"1e3", "error"}, {"01", "error"},
		{`"10"`, "error"}, {"true", "error"}, {"-", "error"}, {"", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			var q sendRequest
			err := decode([]byte(`{"DelaySeconds":`+tt.in+`}`), &q)
			switch tt.want {
			case "error":
				require.NotNil(t, err)
			case nil:
				require.Nil(t, err)
				require.Nil(t, q.DelaySeconds)
			default:
				require.Nil(t, err)
				require.EqualValues(t, tt.want, *q.DelaySeconds)
			}
		})
	}
}

func TestDecodeSkipsAnything(t *testing.T) {
	var q queueRequest
	err := decode([]byte(` { "Later": [1, -2.5e+3, {"a": [null, true, false, "\u0041"]}, {}, []],
		"QueueUrl" : "http://x/0/orders" } `), &q)
	require.Nil(t, err)
	require.Equal(t, "http://x/0/orders", q.QueueURL)
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string]string{
		"no object":          `[]`,
		"a bare word":        `queue`,
		"an open object":     `{"QueueUrl":"x"`,
		"no colon":           `{"QueueUrl" "x"}`,
		"null for a name":    `{null:"x"}`,
		"a comma too many":   `{"QueueUrl":"x",}`,
		"two documents":      `{}{}`,
		"NUL after the end":  "{}\x00",
		"a wrong type":       `{"QueueUrl":7}`,
		"a wrong inner type": `{"AttributeNames":"All"}`,
		"an open array":      `{"AttributeNames":["All"`,
		"too deep":           `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			err := decode([]byte(body), new(queueRequest))
			require.NotNil(t, err)
			require.Equal(t, codeSerialization, err.code)
		})
	}
}

// The cost of a short escaped string must not depend on what follows it.
func TestEscapesCostWhatTheyAre(t *testing.T) {
	var q sendBatchRequest
	require.Nil(t, decode([]byte(`{"Entries":[{"MessageBody":"\n"},{"MessageBody":"`+strings.Repeat("x", 1<<20)+`"}]}`), &q))
	for _, e := range q.Entries {
		require.LessOrEqual(t, cap(e.MessageBody), len(e.MessageBody)+8)
	}
}

func TestDecodeSendBatch(t *testing.T) {
	var q sendBatchRequest
	err := decode([]byte(`{"QueueUrl":"u","Entries":[
		{"Id":"a","MessageBody":"one","DelaySeconds":0,"MessageGroupId":"g","MessageDeduplicationId":"d",
		 "MessageAttributes":{"b":{"DataType":"Binary","BinaryValue":"AAH/"},"a":{"DataType":"String","StringValue":"x","StringListValues":[]}},
		 "MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}}},
		{"Id":"b","MessageBody":"two","DelaySeconds":null}]}`), &q)
	require.Nil(t, err)
	require.Len(t, q.Entries, 2)
	m := q.Entries[0]
	require.Equal(t, "a", m.ID)
	require.Equal(t, "one", string(m.MessageBody))
	require.EqualValues(t, 0, *m.DelaySeconds)
	require.Equal(t, "g", *m.MessageGroupID)
	require.Equal(t, "d", *m.MessageDeduplicationID)
	require.Equal(t, attributes{
		{name: "a", dataType: "String", value: []byte("x"), hasText: true},
		{name: "b", dataType: "Binary", value: []byte{0, 1, 255}, binary: true, hasBytes: true},
	}, m.MessageAttributes)
	require.Len(t, m.MessageSystemAttributes, 1)
	require.Nil(t, q.Entries[1].DelaySeconds)
	require.Nil(t, q.Entries[1].MessageGroupID)
}

func TestWriterWritesJSON(t *testing.T) {
	var w writer
	w.open('{')
	w.member("plain", "orders")
	w.member("escaped", "\"\\\n\r\t\x01<>&\u2028é🚚")
	w.memberBytes("broken", []byte("a\xffb"))
	w.memberBase64("binary", []byte{0, 1, 255})
	w.memberQuoted("quoted", -12)
	w.memberInt("int", 12)
	w.memberBool("bool", true)
	w.stringMap("map", map[string]string{"a": "1", "b\n": "2"})
	w.key("list")
	w.open('[')
	w.str("x")
	w.open('{')
	w.close('}')
	w.open('[')
	w.close(']')
	w.str("")
	w.close(']')
	w.close('}')
	var got map[string]any
	require.NoError(t, json.Unmarshal(w.b, &got), string(w.b))
	require.Equal(t, map[string]any{
		"plain": "orders", "escaped": "\"\\\n\r\t\x01<>&\u2028é🚚", "broken": "a\ufffdb", "binary": "AAH/",
		"quoted": "-12", "int": 12.0, "bool": true, "map": map[string]any{"a": "1", "b\n": "2"},
		"list": []any{"x", map[string]any{}, []any{}, ""},
	}, got)
}
