package exechandler

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// lease is a lease that knows when it ends.
type lease struct {
	handler.Lease
	deadline time.Time
}

func (l lease) Deadline() time.Time { return l.deadline }

// requireLine compares every byte: JSON can be equal and have line feeds in it.
func requireLine(t *testing.T, want string, line []byte) {
	t.Helper()
	require.Equal(t, want+"\n", string(line))
}

func TestAMessageIsALine(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("x", 3600))
	m := &handler.Message{
		ID: "m-1", Body: []byte("<a>\n\u2028\x00\"é"), Attempt: 2, Group: "g", DedupeID: "d", EnqueuedAt: at,
		Attributes: map[string]string{"b": "2\n", "a": "1", "traceparent": "00-x"},
	}
	m.Bind(&handler.Origin{Queue: "orders"}, lease{deadline: at.Add(time.Minute)})
	line, err := encode(t.Context(), m)
	require.NoError(t, err)
	requireLine(t, `{"id":"m-1","queue":"orders","attempt":2,"body":"<a>\n\u2028\u0000\"é","attributes":{"a":"1","b":"2\n","traceparent":"00-x"},`+
		`"group":"g","dedupe_id":"d","enqueued_at":"2026-01-02T02:04:05.0000006Z","lease_deadline":"2026-01-02T02:05:05.0000006Z","traceparent":"00-x"}`, line)

	line, err = encode(t.Context(), &handler.Message{})
	require.NoError(t, err)
	requireLine(t, `{"id":"","queue":"","attempt":0,"body":""}`, line)

	line, err = encode(t.Context(), &handler.Message{Body: []byte("\xff\x00")})
	require.NoError(t, err)
	requireLine(t, `{"id":"","queue":"","attempt":0,"body_base64":"/wA="}`, line)

	_, err = encode(t.Context(), &handler.Message{EnqueuedAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.ErrorContains(t, err, "year")
}

func FuzzMessageLine(f *testing.F) {
	f.Add("id", []byte("body"), "value")
	f.Add("\n", []byte("\xff\n\x00"), "\xff\n\u2028")
	f.Fuzz(func(t *testing.T, id string, body []byte, value string) {
		line, err := encode(t.Context(), &handler.Message{ID: id, Body: body, Attributes: map[string]string{"a": value}})
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(line, []byte("\n")), "one line")
		require.Equal(t, byte('\n'), line[len(line)-1])
		var got struct {
			ID         string            `json:"id"`
			Body       string            `json:"body"`
			BodyBase64 []byte            `json:"body_base64"`
			Attributes map[string]string `json:"attributes"`
		}
		require.NoError(t, json.Unmarshal(line, &got))
		if utf8.Valid(body) {
			require.Equal(t, string(body), got.Body)
		} else {
			require.Equal(t, body, got.BodyBase64)
		}
		if utf8.ValidString(value) {
			require.Equal(t, value, got.Attributes["a"])
		}
	})
}

func TestAnswersThatAreVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line    string
		action  handler.Action
		delayed bool
		delay   time.Duration
		says    string
		id      string
	}{
		{line: `{"verdict":"ack"}`, action: handler.ActionAck},
		{line: ` { "id" : "m-1", "verdict" : "ack" } ` + "\r", action: handler.ActionAck, id: "m-1"},
		{line: `{"verdict":"ack","error":null,"after":null,"id":null}`, action: handler.ActionAck},
		{line: `{"verdict":"retry"}`, action: handler.ActionRetry, says: "the worker gave no reason"},
		{line: `{"verdict":"retry","error":"busy"}`, action: handler.ActionRetry, says: "busy"},
		{line: `{"verdict":"retry","after":"30s","error":"busy"}`, action: handler.ActionRetry, delayed: true, delay: 30 * time.Second, says: "busy"},
		{line: `{"verdict":"retry","after":30}`, action: handler.ActionRetry, delayed: true, delay: 30 * time.Second, says: "the worker gave no reason"},
		{line: `{"verdict":"retry","after":0.25}`, action: handler.ActionRetry, delayed: true, delay: 250 * time.Millisecond, says: "no reason"},
		{line: `{"verdict":"retry","after":"30"}`, action: handler.ActionRetry, delayed: true, delay: 30 * time.Second, says: "no reason"},
		{line: `{"verdict":"retry","after":0}`, action: handler.ActionRetry, delayed: true, says: "no reason"},
		{line: `{"verdict":"retry","after":"1h30m"}`, action: handler.ActionRetry, delayed: true, delay: 90 * time.Minute, says: "no reason"},
		{line: `{"verdict":"reject","error":"no such order"}`, action: handler.ActionDeadLetter, says: "no such order"},
		{line: `{"verdict":"reject"}`, action: handler.ActionDeadLetter, says: "the worker gave no reason"},
		{line: `{"verdict":"drop","error":"of yesterday"}`, action: handler.ActionDrop, says: "of yesterday"},
		{line: `{"verdict":"reject","error":"` + strings.Repeat("é", longestReason) + `"}`, action: handler.ActionDeadLetter, says: "éé..."},
	} {
		a, err := parseAnswer([]byte(c.line))
		require.NoError(t, err, c.line)
		v := handler.VerdictOf(a.verdict)
		require.Equal(t, c.action, v.Action, c.line)
		require.Equal(t, c.delayed, v.Delayed, c.line)
		require.Equal(t, c.delay, v.Delay, c.line)
		require.Equal(t, c.id, a.id)
		if c.says != "" {
			require.ErrorContains(t, v.Err, c.says)
			require.Less(t, len(v.Err.Error()), longestReason+100)
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, says string }{
		{"", "not a JSON object"},
		{"ok", "not a JSON object"},
		{"null", "not a JSON object"},
		{`"ack"`, "not a JSON object"},
		{`["ack"]`, "not a JSON object"},
		{`{`, "not a JSON object"},
		{`{"verdict":"ack"`, "not a JSON object"},
		{`{"verdict":"ack",}`, "not a JSON object"},
		{`{"verdict" "ack"}`, "after object key"},
		{`{verdict:"ack"}`, "not a JSON object"},
		{`{}`, `the verdict is ""`},
		{`{"verdict":null}`, `the verdict is ""`},
		{`{"verdict":"ACK"}`, `the verdict is "ACK"`},
		{`{"verdict":"nack"}`, `the verdict is "nack"`},
		{`{"verdict":true}`, "not a string"},
		{`{"verdict":["ack"]}`, "not a string"},
		{`{"Verdict":"ack"}`, `unknown member "Verdict"`},
		{`{"verdict":"ack","ID":"m"}`, `unknown member "ID"`},
		{`{"verdict":"retry","afer":3}`, `unknown member "afer"`},
		{`{"verdict":"reject","verdict":"ack"}`, `"verdict" occurs twice`},
		{`{"verdict":"ack"} {"verdict":"ack"}`, "there is data after"},
		{`{"verdict":"ack"}x`, "there is data after"},
		{`{"verdict":"ack","error":"but"}`, "is not allowed with"},
		{`{"verdict":"ack","after":1}`, "is not allowed with"},
		{`{"verdict":"reject","after":1}`, "is not allowed with"},
		{`{"verdict":"retry","after":-1}`, "negative"},
		{`{"verdict":"retry","after":"-1s"}`, "negative"},
		{`{"verdict":"retry","after":"soon"}`, "neither seconds nor a duration"},
		{`{"verdict":"retry","after":{}}`, "neither seconds nor a duration"},
		{`{"verdict":"retry","after":1e300}`, "too long"},
		{`{"verdict":"retry","after":"inf"}`, "too long"},
		{`{"verdict":"retry","after":"nan"}`, "negative"},
		{`{"verdict":"retry","after":1e999}`, "after"},
		{`{"verdict":"retry","error":7}`, "not a string"},
		{`{"verdict":"ack","id":7}`, "not a string"},
	} {
		a, err := parseAnswer([]byte(c.line))
		require.ErrorContains(t, err, c.says, c.line)
		require.Empty(t, a.id)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"verdict":"ack"}`, `{"verdict":"retry","after":"30s","error":"x"}`, `{"verdict":"reject","error":"é"}`, `{"verdict":"retry","after":1.5,"id":"m"}`, `{"a":[{}]}`, `{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		a, err := parseAnswer(line)
		if err != nil {
			return
		}
		v := handler.VerdictOf(a.verdict)
		if v.Action == handler.ActionAck {
			// The one mistake that would lose a message.
			var m map[string]any
			require.NoError(t, json.Unmarshal(line, &m))
			require.Equal(t, "ack", m["verdict"])
		}
		require.GreaterOrEqual(t, v.Delay, time.Duration(0))
		require.LessOrEqual(t, v.Delay, time.Duration(math.MaxInt64))
		if v.Err != nil {
			require.LessOrEqual(t, len(v.Err.Error()), longestReason+100)
		}
	})
}
