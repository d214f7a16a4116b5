package sqstest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

func unix(nanos int64) time.Time { return time.Unix(0, nanos) }

func text(name, dataType, value string) attribute {
	return attribute{name: name, dataType: dataType, value: []byte(value), hasText: true, binary: isType(dataType, "Binary")}
}

func TestCheckBody(t *testing.T) {
	tests := []struct{ name, body, code string }{
		{"text", "hello\t\r\n", ""},
		{"the ends of the ranges", "\u0020\ud7ff\ue000\ufffd\U00010000\U0010ffff", ""},
		{"empty", "", codeMissingParameter},
		{"NUL", "a\x00b", codeInvalidMessageContents},
		{"escape", "\x1b[31m", codeInvalidMessageContents},
		{"U+FFFE", "a\ufffe", codeInvalidMessageContents},
		{"U+FFFF", "\uffff", codeInvalidMessageContents},
		{"not UTF-8", "a\xff", codeInvalidMessageContents},
		{"a lone surrogate", "\xed\xa0\x80", codeInvalidMessageContents},
		{"cut off", "\xe4\xb8", codeInvalidMessageContents},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { requireCode(t, tt.code, checkBody([]byte(tt.body))) })
	}
}

func requireCode(t *testing.T, code string, err *apiError) {
	t.Helper()
	if code == "" {
		require.Nil(t, err)
		return
	}
	require.NotNil(t, err)
	require.Equal(t, code, err.code, err.message)
	require.NotEmpty(t, err.message)
}

func TestCheckAttributes(t *testing.T) {
	long := strings.Repeat("n", 256)
	tests := []struct {
		name string
		a    attribute
		code string
	}{
		{"string", text("name", "String", "v"), ""},
		{"custom string", text("name", "String.json", "{}"), ""},
		{"number", text("n", "Number", "-12.5e3"), ""},
		{"custom number", text("n", "Number.int", "42"), ""},
		{"longest name", text(long, "String", "v"), ""},
		{"odd name", text("A_b-9.c", "String", "v"), ""},
		{"binary", attribute{name: "b", dataType: "Binary", value: []byte{0}, binary: true, hasBytes: true}, ""},
		{"name too long", text(long+"n", "String", "v"), codeInvalidParameterValue},
		{"no name", text("", "String", "v"), codeInvalidParameterValue},
		{"period first", text(".a", "String", "v"), codeInvalidParameterValue},
		{"period last", text("a.", "String", "v"), codeInvalidParameterValue},
		{"two periods", text("a..b", "String", "v"), codeInvalidParameterValue},
		{"reserved", text("AWS.trace", "String", "v"), codeInvalidParameterValue},
		{"reserved in any case", text("aMaZon.x", "String", "v"), codeInvalidParameterValue},
		{"space in name", text("a b", "String", "v"), codeInvalidParameterValue},
		{"no type", text("a", "", "v"), codeInvalidParameterValue},
		{"unknown type", text("a", "Bool", "v"), codeInvalidParameterValue},
		{"type that only begins well", text("a", "Stringent", "v"), codeInvalidParameterValue},
		{"long type", text("a", "String."+long, "v"), codeInvalidParameterValue},
		{"empty value", text("a", "String", ""), codeInvalidParameterValue},
		{"no number", text("a", "Number", "twelve"), codeInvalidParameterValue},
		{"hexadecimal", text("a", "Number", "0x10"), codeInvalidParameterValue},
		{"infinite", text("a", "Number", "Inf"), codeInvalidParameterValue},
		{"39 digits", text("a", "Number", strings.Repeat("9", 39)), codeInvalidParameterValue},
		{"control character", text("a", "String", "\x01"), codeInvalidParameterValue},
		{"text in a binary", text("a", "Binary", "v"), codeInvalidParameterValue},
		{"bytes in a string", attribute{name: "a", dataType: "String", value: []byte("v"), hasBytes: true}, codeInvalidParameterValue},
		{"a list", attribute{name: "a", dataType: "String", value: []byte("v"), hasText: true, listed: true}, codeUnsupportedOperation},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { requireCode(t, tt.code, checkAttributes([]attribute{tt.a})) })
	}
	requireCode(t, "", checkAttributes(manyAttributes(10)))
	requireCode(t, codeInvalidParameterValue, checkAttributes(manyAttributes(11)))
}

func manyAttributes(n int) []attribute {
	var out []attribute
	for i := range n {
		out = append(out, text("a"+string(rune('a'+i)), "String", "v"))
	}
	return out
}

func TestCheckSystemAttributes(t *testing.T) {
	trace, err := checkSystemAttributes([]attribute{text("AWSTraceHeader", "String", "Root=1-2-3")})
	require.Nil(t, err)
	require.Equal(t, "Root=1-2-3", trace)
	for _, a := range []attribute{text("SenderId", "String", "x"), text("AWSTraceHeader", "Number", "1"), text("AWSTraceHeader", "String", ""), text("AWSTraceHeader", "String", "\x01")} {
		_, err := checkSystemAttributes([]attribute{a})
		requireCode(t, codeInvalidParameterValue, err)
	}
}

func TestCheckID(t *testing.T) {
	requireCode(t, "", checkID("tenant-1!~", "MessageGroupId"))
	requireCode(t, "", checkID(strings.Repeat("x", 128), "MessageGroupId"))
	for _, id := range []string{"", strings.Repeat("x", 129), "a b", "é", "a\n"} {
		requireCode(t, codeInvalidParameterValue, checkID(id, "MessageGroupId"))
	}
}

// The attributes' checksum was computed by LocalStack's implementation.
func TestDigests(t *testing.T) {
	require.Equal(t, "5d41402abc4b2a76b9719d911017c592", md5Of([]byte("hello")))
	require.Empty(t, md5OfAttributes(nil))
	require.Equal(t, "8b450274866015dd57b5c5139ad66259", md5OfAttributes([]attribute{
		text("a", "String", "x"),
		{name: "b", dataType: "Binary", value: []byte{0, 1, 255}, binary: true, hasBytes: true},
		text("n", "Number.int", "42"),
	}))
	require.Equal(t, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", contentID([]byte("hello")))
}

func TestSizeCountsNamesTypesAndValues(t *testing.T) {
	require.Equal(t, 5+1+6+3, sizeOf([]byte("hello"), []attribute{text("a", "String", "xyz")}))
}

func TestExtraOfAnotherFacesMessage(t *testing.T) {
	e := extraOf(&queue.Message{Attributes: map[string]string{"b": "2", "a": "1"}})
	require.Equal(t, []attribute{text("a", "String", "1"), text("b", "String", "2")}, e.attributes)
}

func TestReceiptHandles(t *testing.T) {
	h := receipt{queue: "orders", received: unix(1700000000123456789), engine: "r1"}
	handle := h.encode()
	require.True(t, strings.HasPrefix(handle, "AQEB"))
	got, err := receiptFor("orders", handle)
	require.Nil(t, err)
	require.Equal(t, h, got)
	_, err = receiptFor("other", handle)
	requireCode(t, codeReceiptHandleIsInvalid, err)
	_, err = receiptFor("orders", "")
	requireCode(t, codeMissingParameter, err)
	for _, forged := range []string{"x", "AQEB", handle[:len(handle)-4], "AQEC" + handle[4:], handle + "AAAA"} {
		_, err = receiptFor("orders", forged)
		requireCode(t, codeReceiptHandleIsInvalid, err)
	}
}

func TestSequenceNumbers(t *testing.T) {
	require.Len(t, sequenceNumber(1), sequenceDigits)
	require.Less(t, sequenceNumber(9), sequenceNumber(10))
	require.Less(t, sequenceNumber(1), sequenceNumber(1<<40))
}
