package sqstest

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzDecode gives every action's decoder any bytes. Accepted input must
// be JSON, and a string in it must read as encoding/json reads it.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"QueueUrl":"http://127.0.0.1/0/orders","MessageBody":"hello","DelaySeconds":1}`))
	f.Add([]byte(`{"QueueUrl":"u","Entries":[{"Id":"0","MessageBody":"\u00e9\ud83d\ude9a","MessageAttributes":{"a":{"DataType":"Number.int","StringValue":"1"}}}]}`))
	f.Add([]byte(`{"QueueUrl":"u","Entries":[{"Id":"0","ReceiptHandle":"AQEB","VisibilityTimeout":30}]}`))
	f.Add([]byte(`{"QueueName":"orders","Attributes":{"FifoQueue":"true"},"tags":{"team":"x"}}`))
	f.Add([]byte(`{"SourceArn":"arn:aws:sqs:us-east-1:0:dlq","MaxNumberOfMessagesPerSecond":500}`))
	f.Add([]byte(`{"TaskHandle":"e30=","x":[[[1.5e-3,null,true]]]}`))
	f.Add([]byte("{\"MessageBody\":\"\xff\\ud800\"}"))
	all := operations(new(registry))
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, op := range all {
			q := op.make()
			if decode(body, q) != nil || len(body) == 0 {
				continue
			}
			if !json.Valid(body) {
				t.Fatalf("%s took what is not JSON: %q", name, body)
			}
			q.queueRef()
		}
		var send sendRequest
		if len(body) == 0 || decode(body, &send) != nil || !utf8.Valid(body) || !utf8.Valid(send.MessageBody) {
			return // encoding/json would mend what is not UTF-8
		}
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &members))
		var want *string
		if raw, ok := members["MessageBody"]; ok {
			require.NoError(t, json.Unmarshal(raw, &want))
		}
		require.Equal(t, want == nil, send.MessageBody == nil)
		if want != nil {
			require.Equal(t, *want, string(send.MessageBody))
		}
	})
}

// FuzzExtra checks that what is kept beside a message comes back, and that
// anything else is refused without harm.
func FuzzExtra(f *testing.F) {
	f.Add("AIDA", "Root=1", "name", "String", []byte("v"), []byte{1, 2})
	f.Fuzz(func(t *testing.T, sender, trace, name, dataType string, value, garbage []byte) {
		in := extra{sender: sender, trace: trace, attributes: []attribute{
			{name: name, dataType: dataType, value: value}, {name: "z", dataType: "Binary", value: value},
		}}
		out, ok := decodeExtra(in.encode())
		require.True(t, ok)
		require.Equal(t, sender, out.sender)
		require.Equal(t, trace, out.trace)
		require.Len(t, out.attributes, 2)
		require.Equal(t, md5OfAttributes(in.attributes[:1]) == md5OfAttributes(out.attributes[:1]), in.attributes[0].binary == out.attributes[0].binary)
		require.True(t, bytes.Equal(value, out.attributes[1].value))
		decodeExtra(garbage)
		decodeExtra(append([]byte{extraVersion}, garbage...))
	})
}

// FuzzReceipt checks that a receipt handle reads back and a forged one is
// refused.
func FuzzReceipt(f *testing.F) {
	f.Add("orders", "r-1", int64(1700000000), "AQEB")
	f.Fuzz(func(t *testing.T, queue, engine string, nanos int64, forged string) {
		in := receipt{queue: queue, engine: engine, received: unix(nanos)}
		handle := in.encode()
		out, ok := decodeReceipt(handle)
		require.True(t, ok)
		require.Equal(t, queue, out.queue)
		require.Equal(t, engine, out.engine)
		require.True(t, in.received.Equal(out.received))
		if _, err := receiptFor(queue+"x", handle); err == nil {
			t.Fatal("another queue took the handle")
		}
		decodeReceipt(forged)
	})
}
