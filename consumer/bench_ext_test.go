//go:build unix

package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// tap is a source that hands out n messages as fast as it is asked, and takes
// every verdict.
type tap struct {
	batch int
	lease time.Duration
	left  atomic.Int64
	// groups is how many groups the messages are of, which arrive a batch of one
	// group after the other, as from SQS FIFO; 0 means without groups. answer is how
	// long a request takes.
	groups int
	answer time.Duration

	receives, settles, extends, extended atomic.Int64
}

func (s *tap) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	s.receives.Add(1)
	after := s.left.Add(-int64(n))
	if after < 0 {
		n += int(after)
	}
	if n <= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return nil, nil
	}
	ds := make([]drivers.Delivery, n)
	ms := make([]handler.Message, n)
	s.wait()
	deadline := time.Now().Add(s.lease)
	for i := range ds {
		ms[i].ID = "id"
		if s.groups > 0 {
			ms[i].Group = strconv.Itoa(int(s.receives.Load()) % s.groups)
		}
		ds[i] = drivers.Delivery{Message: &ms[i], Receipt: "receipt", Deadline: deadline}
	}
	return ds, nil
}

func (s *tap) Settle(context.Context, []drivers.Settlement) []error {
	s.settles.Add(1)
	s.wait()
	return nil
}

func (s *tap) wait() {
	if s.answer > 0 {
		<-time.After(s.answer)
	}
}

func (s *tap) Extend(_ context.Context, es []drivers.Extension) []error {
	s.extends.Add(1)
	s.extended.Add(int64(len(es)))
	return nil
}

func (s *tap) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{
		Queue: "tap", MaxReceive: s.batch, MaxSettle: s.batch, MaxExtend: 10, Lease: s.lease, Ordered: s.groups > 0,
		MaxDelay: drivers.Unlimited, MaxExtension: drivers.Unlimited, MaxLease: drivers.Unlimited,
	}
}

func (s *tap) Close() error { return nil }

// drain runs h on n messages of a tap and returns when all are settled.
func drain(b *testing.B, s *tap, n int, concurrency int, h handler.HandlerFunc) {
	b.Helper()
	s.left.Store(int64(n))
	c, err := consumer.New(s, h, &consumer.Config{Concurrency: concurrency})
	require.NoError(b, err)
	measure(b, c, n)
	b.ReportMetric(float64(s.receives.Load()+s.settles.Load()+s.extends.Load())/float64(n), "requests/msg")
}

// measure runs a consumer until n messages are acked.
func measure(b *testing.B, c *consumer.Consumer, n int) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ResetTimer()
	start := cpuTime(b)
	go func() { done <- c.Run(ctx) }()
	for c.Stats().Acked < uint64(n) {
		time.Sleep(100 * time.Microsecond) //nolint:forbidigo // a benchmark's wait takes no lock that it measures
	}
	b.StopTimer()
	// On a busy machine it says more than the time that has passed.
	b.ReportMetric(float64(cpuTime(b)-start)/float64(n), "cpu-ns/msg")
	cancel()
	require.NoError(b, <-done)
}

func noop(context.Context, *handler.Message) error { return nil }

// BenchmarkNoop measures the runtime's own cost per message, by the provider's batch
// size.
func BenchmarkNoop(b *testing.B) {
	for _, batch := range []int{10, 1000} {
		b.Run("batch="+strconv.Itoa(batch), func(b *testing.B) {
			b.ReportAllocs()
			drain(b, &tap{batch: batch, lease: 30 * time.Second}, b.N, 32, noop)
		})
	}
}

// BenchmarkConcurrency measures the cost per message with handlers that wait for a
// millisecond.
func BenchmarkConcurrency(b *testing.B) {
	for _, n := range []int{1, 16, 256, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			drain(b, &tap{batch: 10, lease: 30 * time.Second}, b.N, n, func(context.Context, *handler.Message) error {
				<-time.After(time.Millisecond)
				return nil
			})
		})
	}
}

// BenchmarkGroups runs an ordered queue with a backlog of many groups, whose
// requests take 2 ms. msg/s shows the cost of waiting for the ack of the message
// before, and requests/msg that of acks that do not wait for others.
func BenchmarkGroups(b *testing.B) {
	for _, handles := range []time.Duration{0, 5 * time.Millisecond} {
		for _, n := range []int{32, 100} {
			b.Run(fmt.Sprintf("handler=%v/concurrency=%d", handles, n), func(b *testing.B) {
				b.ReportAllocs()
				s := &tap{batch: 10, lease: 30 * time.Second, groups: 1000, answer: 2 * time.Millisecond}
				drain(b, s, b.N, n, func(context.Context, *handler.Message) error {
					if handles > 0 {
						<-time.After(handles)
					}
					return nil
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// BenchmarkMem measures the whole path in memory: the embedded queue, the runtime, a
// handler that does nothing.
func BenchmarkMem(b *testing.B) {
	ctx := b.Context()
	var queues mem.Opener
	sink, err := queues.Sink(ctx, "orders", nil)
	require.NoError(b, err)
	source, err := queues.Source(ctx, "orders", nil)
	require.NoError(b, err)
	body := make([]byte, 256)
	ms := make([]*handler.Message, 1000)
	for sent := 0; sent < b.N; sent += len(ms) {
		for i := range ms {
			ms[i] = &handler.Message{Body: body}
		}
		ms = ms[:min(len(ms), b.N-sent)]
		require.Nil(b, sink.Send(ctx, ms))
	}
	c, err := consumer.New(source, handler.HandlerFunc(noop), &consumer.Config{Concurrency: 32})
	require.NoError(b, err)
	b.ReportAllocs()
	measure(b, c, b.N)
}

// BenchmarkHeldLeases measures the cost of ten thousand leases of 30 seconds that are
// only kept: core-% is the part of one core, and requests/ext how
// many requests an extension took.
func BenchmarkHeldLeases(b *testing.B) {
	const n = 10_000
	s := &tap{batch: 10, lease: 30 * time.Second}
	s.left.Store(n)
	c, err := consumer.New(s, keeping(handler.KeepOptions{}, func(ctx context.Context, _ *handler.Message) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}), &consumer.Config{Concurrency: n, DrainTimeout: -1})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for c.Stats().Running < n {
		time.Sleep(time.Millisecond) //nolint:forbidigo // as above
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	for b.Loop() {
		// One period: each lease is extended once.
		start, before := cpuTime(b), s.extended.Load()
		requests := s.extends.Load()
		began := time.Now()
		<-time.After(15 * time.Second)
		b.ReportMetric(100*float64(cpuTime(b)-start)/float64(time.Since(began)), "core-%")
		b.ReportMetric(float64(s.extends.Load()-requests)/float64(s.extended.Load()-before), "requests/ext")
	}
	b.ReportMetric(float64(memory.HeapInuse+memory.StackInuse)/n, "B/lease")
	cancel()
	require.ErrorIs(b, <-done, consumer.ErrDrainTimeout)
}

// cpuTime is the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
