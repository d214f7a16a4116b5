package sqslambda_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/handler"
)

// BenchmarkHandle is the cost of an event of 10 messages, all acked, a message:
// what the function adds to the reading of the document, which has a line of its
// own.
func BenchmarkHandle(b *testing.B) {
	for _, fifo := range []bool{false, true} {
		b.Run(fmt.Sprintf("fifo=%t", fifo), func(b *testing.B) {
			r := newRig(b, rigOptions{fifo: fifo})
			for i := range 10 {
				r.send(&handler.Message{Body: []byte(`{"id":"1","cents":100}`), Group: fmt.Sprint(i % 3), Attributes: map[string]string{"tenant": "t"}})
			}
			e := r.event()
			require.Len(b, e.Records, 10)
			fn, err := sqslambda.New(r.source, handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), nil)
			require.NoError(b, err)
			ctx := b.Context()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, err := fn.Handle(ctx, e); err != nil {
					b.Fatal(err)
				}
				n += len(e.Records)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/msg")
		})
	}
	b.Run("json", func(b *testing.B) {
		r := newRig(b, rigOptions{})
		for range 10 {
			r.send(&handler.Message{Body: []byte(`{"id":"1","cents":100}`), Attributes: map[string]string{"tenant": "t"}})
		}
		document, err := json.Marshal(r.event())
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			var e events.SQSEvent
			if err := json.Unmarshal(document, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
