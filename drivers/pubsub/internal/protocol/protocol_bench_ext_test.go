package protocol_test

import (
	"bytes"
	"fmt"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/drivers/pubsub/internal/protocol"
)

func BenchmarkDecode(b *testing.B) {
	for _, attrs := range []map[string]string{nil, {"sluice-dedupe-id": "01890000-0000-7000-8000-000000000000"}} {
		r := &pubsubpb.PullResponse{}
		for i := range 1000 {
			r.ReceivedMessages = append(r.ReceivedMessages, &pubsubpb.ReceivedMessage{AckId: fmt.Sprintf("%0180d", i), Message: &pubsubpb.PubsubMessage{
				Data: bytes.Repeat([]byte("x"), 200), MessageId: fmt.Sprintf("%016d", i), PublishTime: timestamppb.Now(), Attributes: attrs,
			}})
		}
		wire, _ := proto.Marshal(r)
		data := mem.BufferSlice{mem.SliceBuffer(wire)}
		name := fmt.Sprintf("attributes=%d/", len(attrs))
		b.Run(name+"sdk", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := proto.Unmarshal(wire, &pubsubpb.PullResponse{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"views", func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			c := &protocol.Codec{Start: func(int) {}, Add: func(m *protocol.Message) { n += len(m.Data) }}
			for b.Loop() {
				if err := c.Unmarshal(data, &pubsubpb.PullResponse{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
