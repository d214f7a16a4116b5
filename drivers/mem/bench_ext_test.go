package mem_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// filled returns a queue with n messages of 256 bytes.
func filled(b *testing.B, n int) *mem.Source {
	b.Helper()
	queues := new(mem.Opener)
	sink, err := queues.Sink(b.Context(), "bench", nil)
	require.NoError(b, err)
	ms := make([]*handler.Message, sink.Capabilities().MaxSend)
	for i := range ms {
		ms[i] = &handler.Message{Body: make([]byte, 256)}
	}
	for n > 0 {
		k := min(n, len(ms))
		require.Nil(b, sink.Send(b.Context(), ms[:k]))
		n -= k
	}
	source, err := queues.Source(b.Context(), "bench", nil)
	require.NoError(b, err)
	return source
}

// BenchmarkDriver is the cost of a message at the port, received and acked in
// batches of 32. With the runtime it is consumer's benchmark.
func BenchmarkDriver(b *testing.B) {
	source := filled(b, b.N)
	var settlements []drivers.Settlement
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		ds, err := source.Receive(b.Context(), 32, 0)
		if err != nil {
			b.Fatal(err)
		}
		settlements = settlements[:0]
		for _, d := range ds {
			settlements = append(settlements, drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck})
		}
		if errs := source.Settle(b.Context(), settlements); errs != nil {
			b.Fatal(errs)
		}
		done += len(ds)
	}
}
