package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/heartbeat"
)

// tap is a source that costs nothing: it hands out messages as fast as it is
// asked, and takes every verdict. Its batches are SQS's.
type tap struct {
	left  atomic.Int64
	body  int
	lease time.Duration

	extends, extended atomic.Int64
}

// Receive implements [drivers.Source].
func (s *tap) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	if after := s.left.Add(-int64(n)); after < 0 {
		n += int(after)
	}
	if n <= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ds := make([]drivers.Delivery, n)
	ms := make([]handler.Message, n)
	deadline := time.Now().Add(s.lease)
	for i := range ds {
		ms[i].ID = "id"
		if s.body > 0 {
			ms[i].Body = make([]byte, s.body)
		}
		ds[i] = drivers.Delivery{Message: &ms[i], Receipt: "receipt", Deadline: deadline}
	}
	return ds, nil
}

// Settle implements [drivers.Source].
func (s *tap) Settle(context.Context, []drivers.Settlement) []error { return nil }

// Extend implements [drivers.Source].
func (s *tap) Extend(_ context.Context, es []drivers.Extension) []error {
	s.extends.Add(1)
	s.extended.Add(int64(len(es)))
	return nil
}

// Capabilities implements [drivers.Source].
func (s *tap) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Queue: "tap", MaxReceive: 10, MaxSettle: 10, MaxExtend: 10, MaxSend: 10, Lease: s.lease}
}

// Close implements [drivers.Source].
func (s *tap) Close() error { return nil }

const tapLease = 30 * time.Second

func consumeTap(ctx context.Context, n, concurrency int, w time.Duration) (sample, error) {
	s := &tap{lease: tapLease}
	s.left.Store(int64(n))
	return measureSluice(ctx, s, nil, n, concurrency, w)
}

// heldCases are what messages cost whose handlers take long.
func heldCases() []experiment {
	return []experiment{{
		id: "heartbeat", title: "Heartbeat: 10,000 leases of 30 s that are held", runs: 1,
		peers: []peer{{sluice, holdLeases}},
	}, {
		id: "in-flight/4096", title: "Memory: 4,096 messages of 1 KiB in flight",
		peers: []peer{{sluice, holdMessages}, {bare, holdGoroutines}},
	}}
}

// holdLeases measures one period of a heartbeat: each lease is extended once.
func holdLeases(ctx context.Context, e *env) (sample, error) {
	src := &tap{lease: tapLease}
	beat, err := heartbeat.New(nil)
	if err != nil {
		return nil, err
	}
	end, err := hold(ctx, src, e.sizes.held, beat)
	if err != nil {
		return nil, err
	}
	requests, extended := src.extends.Load(), src.extended.Load()
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	t := time.NewTimer(e.sizes.hold)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	after, err := cpuTime()
	took := time.Since(began)
	s := sample{metricCore: 100 * float64(after-cpu) / float64(took)}
	if n := src.extended.Load() - extended; n > 0 {
		s[metricExtend] = float64(src.extends.Load()-requests) / float64(n)
	}
	return s, errors.Join(err, end(), ctx.Err())
}

// holdMessages measures what memory a message in flight takes beside its body.
func holdMessages(ctx context.Context, e *env) (sample, error) {
	n := min(e.sizes.top, 4096)
	before := inUse()
	end, err := hold(ctx, &tap{lease: tapLease, body: heldBody}, n, nil)
	if err != nil {
		return nil, err
	}
	return inUse().since(before, n), end()
}

// heldBody is the size of a body that is held.
const heldBody = 1 << 10

const bare = "a goroutine each that holds a body, and nothing else"

// holdGoroutines measures the least that a handler at work can take: it has a
// goroutine.
func holdGoroutines(_ context.Context, e *env) (sample, error) {
	n := min(e.sizes.top, 4096)
	bodies := make([][]byte, n) // not on the stacks
	var started, ended sync.WaitGroup
	end := make(chan struct{})
	before := inUse()
	started.Add(n)
	for i := range bodies {
		ended.Go(func() {
			bodies[i] = make([]byte, heldBody)
			started.Done()
			<-end
		})
	}
	started.Wait()
	s := inUse().since(before, n)
	close(end)
	ended.Wait()
	runtime.KeepAlive(bodies)
	return s, nil
}

// memory is what objects and stacks take, in bytes.
type memory struct{ heap, stack float64 }

// since is what each of n messages has added since before, beyond its body.
func (m memory) since(before memory, n int) sample {
	stack := (m.stack - before.stack) / float64(n)
	return sample{metricHeld: (m.heap-before.heap)/float64(n) + stack - heldBody, metricStack: stack}
}

// inUse is the memory that objects and stacks take, garbage left out.
func inUse() memory {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers held
	runtime.ReadMemStats(&m)
	return memory{float64(m.HeapAlloc), float64(m.StackInuse)}
}

// hold has n handlers at work that wait for their end.
func hold(ctx context.Context, src *tap, n int, m handler.Middleware) (end func() error, err error) {
	src.left.Store(int64(n))
	var h handler.Handler = handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if m != nil {
		h = m(h)
	}
	c, err := consumer.New(src, h, &consumer.Config{Concurrency: n, DrainTimeout: -1})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	if err := until(ctx, func() bool { return c.Stats().Running >= n || len(ended) > 0 }); err != nil {
		cancel()
		return nil, err
	}
	return func() error {
		cancel()
		if err := <-ended; !errors.Is(err, consumer.ErrDrainTimeout) {
			return err // it was canceled immediately, and must say so
		}
		return nil
	}, nil
}
