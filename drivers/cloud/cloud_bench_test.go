package cloud_test

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// BenchmarkSink sends batches of a hundred to gocloud's mempubsub, and
// BenchmarkSource receives and acks a backlog of as many messages as it is asked
// for: what the bridge and gocloud cost a message, with no network. The backlog
// is there before, since mempubsub is asked again only after a quarter of a second
// when it had nothing.
func BenchmarkSink(b *testing.B) {
	mux := drivers.NewMux(inMemory())
	u := "gomem://bench-" + rand.Text()
	sink, err := mux.OpenSink(b.Context(), u, nil)
	require.NoError(b, err)
	source, err := mux.OpenSource(b.Context(), u, nil) // mempubsub logs what no one would get
	require.NoError(b, err)
	b.ReportAllocs()
	total := 0
	for b.Loop() {
		sendHundred(b, sink)
		total += 100
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/message")
	require.NoError(b, errors.Join(source.Close(), sink.Close()))
}

func sendHundred(b *testing.B, sink drivers.Sink) {
	b.Helper()
	body := make([]byte, 100)
	ms := make([]*handler.Message, 100)
	for i := range ms {
		ms[i] = &handler.Message{Body: body, Attributes: map[string]string{"kind": "order"}}
	}
	if errs := sink.Send(b.Context(), ms); errs != nil {
		b.Fatal(errs)
	}
}

func BenchmarkSource(b *testing.B) {
	mux := drivers.NewMux(inMemory())
	u := "gomem://bench-" + rand.Text()
	sink, err := mux.OpenSink(b.Context(), u, nil)
	require.NoError(b, err)
	source, err := mux.OpenSource(b.Context(), u+"?ackdeadline=10m", nil)
	require.NoError(b, err)
	for sent := 0; sent < b.N; sent += 100 {
		sendHundred(b, sink)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for got := 0; got < b.N; {
		ds, err := source.Receive(b.Context(), 100, 30*time.Second)
		if err != nil || len(ds) == 0 {
			b.Fatalf("%d of %d messages came: %v", got, b.N, err)
		}
		ss := make([]drivers.Settlement, len(ds))
		for i, d := range ds {
			ss[i] = drivers.Settlement{Receipt: d.Receipt, Action: handler.ActionAck}
		}
		if errs := source.Settle(b.Context(), ss); errs != nil {
			b.Fatal(errs)
		}
		got += len(ds)
	}
	b.StopTimer()
	require.NoError(b, source.Close())
	require.NoError(b, sink.Close())
}
