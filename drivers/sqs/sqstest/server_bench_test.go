package sqstest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkMessage sends, receives and deletes messages of 256 bytes in batches
// of ten, beneath the HTTP: what the server itself costs a message.
func BenchmarkMessage(b *testing.B) {
	s, err := New(nil)
	require.NoError(b, err)
	defer func() { require.NoError(b, s.Close()) }()
	do := func(action, body string) []byte {
		out := s.dispatcher.do(context.Background(), incoming{target: targetPrefix + action, origin: "http://x", body: []byte(body)})
		if out.err != nil {
			b.Fatal(out.err)
		}
		return out.body
	}
	do("CreateQueue", `{"QueueName":"orders"}`)
	var entries []string
	for i := range 10 {
		entries = append(entries, fmt.Sprintf(`{"Id":"%d","MessageBody":%q,"MessageAttributes":{"traceparent":{"DataType":"String","StringValue":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}`, i, strings.Repeat("x", 256)))
	}
	send := `{"QueueUrl":"http://x/0/orders","Entries":[` + strings.Join(entries, ",") + `]}`
	receive := `{"QueueUrl":"http://x/0/orders","MaxNumberOfMessages":10,"MessageAttributeNames":["All"],"MessageSystemAttributeNames":["All"]}`
	b.ReportAllocs()
	for b.Loop() {
		do("SendMessageBatch", send)
		b.StopTimer()
		var got struct {
			Messages []struct{ ReceiptHandle string }
		}
		b.StartTimer()
		answer := do("ReceiveMessage", receive)
		b.StopTimer()
		require.NoError(b, json.Unmarshal(answer, &got))
		require.Len(b, got.Messages, 10)
		del := make([]string, 10)
		for i, m := range got.Messages {
			del[i] = fmt.Sprintf(`{"Id":"%d","ReceiptHandle":%q}`, i, m.ReceiptHandle)
		}
		body := `{"QueueUrl":"http://x/0/orders","Entries":[` + strings.Join(del, ",") + `]}`
		b.StartTimer()
		do("DeleteMessageBatch", body)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/message")
}
