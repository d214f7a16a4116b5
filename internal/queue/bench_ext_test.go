package queue_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// benchStores runs a benchmark on both stores, with messages of 256 bytes.
func benchStores(b *testing.B, run func(b *testing.B, e queue.Engine)) {
	b.Run("memory", func(b *testing.B) {
		e := queue.NewMemory(nil)
		run(b, e)
		require.NoError(b, e.Close())
	})
	b.Run("sqlite", func(b *testing.B) {
		e, err := sqlitequeue.Open(b.Context(), filepath.Join(b.TempDir(), "queues.db"), nil)
		require.NoError(b, err)
		run(b, e)
		require.NoError(b, e.Close())
	})
}

const benchBatch = 10

func benchMessages(n, groups int) []queue.Message {
	ms := make([]queue.Message, n)
	for i := range ms {
		ms[i].Body = make([]byte, 256)
		if groups > 0 {
			ms[i].Group = fmt.Sprint("g", i%groups)
		}
	}
	return ms
}

// fill makes a backlog.
func fillBacklog(b *testing.B, e queue.Engine, backlog, groups int, delay time.Duration) {
	const step = 1000
	ms := benchMessages(step, groups)
	for i := range ms {
		ms[i].Delay = delay
	}
	for range backlog / step {
		_, err := e.Send(b.Context(), "q", ms)
		require.NoError(b, err)
	}
}

// cycle sends, receives and deletes b.N messages, in batches.
func cycle(b *testing.B, e queue.Engine, ms []queue.Message) {
	receipts := make([]string, 0, benchBatch)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += benchBatch {
		if _, err := e.Send(b.Context(), "q", ms); err != nil {
			b.Fatal(err)
		}
		rs, err := e.Receive(b.Context(), "q", queue.ReceiveRequest{Max: benchBatch, Visibility: time.Minute, Spread: true})
		if err != nil || len(rs) != benchBatch {
			b.Fatal(len(rs), err)
		}
		receipts = receipts[:0]
		for i := range rs {
			receipts = append(receipts, rs[i].Receipt)
		}
		if errs := e.Delete(b.Context(), "q", receipts); errs != nil {
			b.Fatal(errs)
		}
	}
}

// BenchmarkCycle is the cost of one message from send to delete, whatever the
// backlog before it.
func BenchmarkCycle(b *testing.B) {
	benchStores(b, func(b *testing.B, e queue.Engine) {
		backlog := 0
		require.NoError(b, e.Create(b.Context(), "q", queue.Config{}))
		for _, n := range []int{1_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("backlog=%d", n), func(b *testing.B) {
				fillBacklog(b, e, n-backlog, 0, 0)
				backlog = n
				cycle(b, e, benchMessages(benchBatch, 0))
			})
		}
	})
}

// BenchmarkDelayedBacklog has as many messages that wait for their time.
func BenchmarkDelayedBacklog(b *testing.B) {
	benchStores(b, func(b *testing.B, e queue.Engine) {
		backlog := 0
		require.NoError(b, e.Create(b.Context(), "q", queue.Config{}))
		for _, n := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("backlog=%d", n), func(b *testing.B) {
				fillBacklog(b, e, n-backlog, 0, time.Hour)
				backlog = n
				cycle(b, e, benchMessages(benchBatch, 0))
			})
		}
	})
}

// BenchmarkGroups is the same with an ordered queue of a thousand groups.
func BenchmarkGroups(b *testing.B) {
	benchStores(b, func(b *testing.B, e queue.Engine) {
		backlog := 0
		require.NoError(b, e.Create(b.Context(), "q", queue.Config{Ordered: true}))
		for _, n := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("backlog=%d", n), func(b *testing.B) {
				fillBacklog(b, e, n-backlog, 1000, 0)
				backlog = n
				cycle(b, e, benchMessages(benchBatch, benchBatch))
			})
		}
	})
}

// BenchmarkExtend is the cost of setting one lease among many.
func BenchmarkExtend(b *testing.B) {
	benchStores(b, func(b *testing.B, e queue.Engine) {
		require.NoError(b, e.Create(b.Context(), "q", queue.Config{}))
		fillBacklog(b, e, 10_000, 0, 0)
		var cs []queue.Change
		for range 10 {
			rs, err := e.Receive(b.Context(), "q", queue.ReceiveRequest{Max: 1000, Visibility: time.Hour})
			require.NoError(b, err)
			for i := range rs {
				cs = append(cs, queue.Change{Receipt: rs[i].Receipt, By: time.Hour})
			}
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i := 0; i < b.N; i += benchBatch {
			at := i % (len(cs) - benchBatch)
			if errs := e.Change(b.Context(), "q", cs[at:at+benchBatch]); errs != nil {
				b.Fatal(errs)
			}
		}
	})
}
