package pubsub

import (
	"fmt"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/handler"
)

// The driver's own cost of a message, beside the SDK's.

func BenchmarkEncode(b *testing.B) {
	m := &handler.Message{Body: make([]byte, 256), Attributes: map[string]string{"traceparent": "00-x", "type": "order"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	rm := &pubsubpb.ReceivedMessage{AckId: "a", Message: &pubsubpb.PubsubMessage{
		Data: make([]byte, 256), MessageId: "id", PublishTime: timestamppb.Now(),
		Attributes: map[string]string{"traceparent": "00-x", "type": "order"},
	}}
	b.ReportAllocs()
	for b.Loop() {
		decode(rm)
	}
}

func BenchmarkSettleBookkeeping(b *testing.B) {
	r := &ackRequest{subscription: &subscription{}, op: "ack", done: func(int, error) {}, call: func([]string) error { return nil }}
	receipts := make([]string, 1000)
	idx := make([]int, len(receipts))
	for i := range receipts {
		receipts[i], idx[i] = fmt.Sprintf("%0180d", i), i
	}
	b.ReportAllocs()
	for b.Loop() {
		r.do(b.Context(), idx, func(i int) string { return receipts[i] })
	}
}
