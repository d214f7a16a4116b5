package sqstest

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestReaderStrings(t *testing.T) {
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
			r := reader{b: []byte(tt.in)}
			got := r.str()
			r.end()
			if tt.bad {
				require.Error(t, r.err)
				return
			}
			require.NoError(t, r.err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestReaderKeepsWhatIsNotUTF8(t *testing.T) {
	for _, in := range []string{`"\ud800"`, `"\ud800\u0041"`, `"\udc00x"`, "\"\xff\"", "\"\\n\xff\""} {
		r := reader{b: []byte(in)}
		got := r.bytes()
		require.NoError(t, r.err, in)
		require.False(t, utf8.Valid(got), "%s became %q, which SQS would take", in, got)
	}
}

func TestReaderBytesAreACopy(t *testing.T) {
	document := []byte(`"orders"`)
	r := reader{b: document}
	got := r.bytes()
	document[1] = 'X'
	require.Equal(t, "orders", string(got))
}

func TestReaderIntegers(t *testing.T) {
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
			r := reader{b: []byte(tt.in)}
			got := r.integer()
			r.end()
			switch tt.want {
			case "error":
				require.Error(t, r.err)
			case nil:
				require.NoError(t, r.err)
				require.Nil(t, got)
			default:
				require.NoError(t, r.err)
				require.Equal(t, tt.want, *got)
			}
		})
	}
}

func TestReaderSkipsAnything(t *testing.T) {
	var q queueRequest
	err := decode([]byte(` { "Later": [1, -2.5e+3, {"a": [null, true, false, "\u0041"]}, {}, []],
		"QueueUrl" : "http://x/0/orders" } `), &q)
	require.Nil(t, err)
	require.Equal(t, "http://x/0/orders", q.url)
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
			require.Equal(t, CodeSerialization, err.code)
		})
	}
}

// What a short escaped string costs must not depend on what follows it.
func TestEscapesCostWhatTheyAre(t *testing.T) {
	document := []byte(`["\n", "` + strings.Repeat("x", 1<<20) + `"]`)
	r := reader{b: document}
	r.array(func() {
		got, _ := r.scan()
		require.LessOrEqual(t, cap(got), max(len(got), 2))
	})
	require.NoError(t, r.err)
}

func TestDecodeSendBatch(t *testing.T) {
	var q sendBatchRequest
	err := decode([]byte(`{"QueueUrl":"u","Entries":[
		{"Id":"a","MessageBody":"one","DelaySeconds":0,"MessageGroupId":"g","MessageDeduplicationId":"d",
		 "MessageAttributes":{"b":{"DataType":"Binary","BinaryValue":"AAH/"},"a":{"DataType":"String","StringValue":"x","StringListValues":[]}},
		 "MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}}},
		{"Id":"b","MessageBody":"two","DelaySeconds":null}]}`), &q)
	require.Nil(t, err)
	require.Len(t, q.entries, 2)
	m := q.entries[0]
	require.Equal(t, "a", m.id)
	require.Equal(t, "one", string(m.body))
	require.Equal(t, 0, *m.delay)
	require.Equal(t, "g", *m.group)
	require.Equal(t, "d", *m.dedupe)
	require.Equal(t, []attribute{
		{name: "a", dataType: "String", value: []byte("x"), hasText: true},
		{name: "b", dataType: "Binary", value: []byte{0, 1, 255}, binary: true, hasBytes: true},
	}, m.attributes)
	require.Len(t, m.system, 1)
	require.Nil(t, q.entries[1].delay)
	require.Nil(t, q.entries[1].group)
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
