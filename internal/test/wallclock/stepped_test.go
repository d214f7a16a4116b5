//go:build steppedclock

package wallclock_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/timer"
)

// pause lets time pass, by the clock that is not stepped.
func pause(d time.Duration) { <-time.After(d) }

// A place opens a queue, as often as wanted; each time as another
// process would open it.
type place struct {
	name string
	open func(t *testing.T, params string) (drivers.Source, drivers.Sink)
}

func opened(t *testing.T, o drivers.Opener, raw string) (drivers.Source, drivers.Sink) {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	source, err := o.OpenSource(t.Context(), u, nil)
	require.NoError(t, err)
	sink, err := o.OpenSink(t.Context(), u, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, source.Close())
		require.NoError(t, sink.Close())
	})
	return source, sink
}

func places(t *testing.T) []place {
	shared := new(mem.Opener)
	file := filepath.Join(t.TempDir(), "queues.db")
	return []place{
		{"mem", func(t *testing.T, params string) (drivers.Source, drivers.Sink) {
			return opened(t, shared, "mem://q?"+params)
		}},
		{"sqlite", func(t *testing.T, params string) (drivers.Source, drivers.Sink) {
			return opened(t, new(sqlite.Opener), "sqlite://"+file+"?queue=q&"+params)
		}},
	}
}

// A stepping is what happens to the clock.
type stepping struct {
	name string
	// step is called every 20 ms, n times in all, and returns the step of
	// the clock.
	step func(i, n int) time.Duration
}

func steppings() []stepping {
	at := func(parts ...time.Duration) func(i, n int) time.Duration {
		return func(i, n int) time.Duration {
			for k, d := range parts {
				if i == (k+1)*n/(len(parts)+4) {
					return d
				}
			}
			return 0
		}
	}
	return []stepping{
		{"not at all", at()},
		{"forward", at(time.Hour)},
		{"back", at(-time.Hour)},
		{"there and back", at(time.Hour, -time.Hour)},
		{"a year", at(365 * 24 * time.Hour)},
		{"small steps", func(int, int) time.Duration { return time.Duration(rand.Int64N(1_600_000_001) - 800_000_000) }},
	}
}

// run steps the clock for that long while the subtests on each place run.
func run(t *testing.T, during time.Duration, test func(t *testing.T, p place)) {
	for _, s := range steppings() {
		t.Run(s.name, func(t *testing.T) {
			all := places(t)
			began := cpu(t)
			t.Run("on", func(t *testing.T) {
				for _, p := range all {
					t.Run(p.name, func(t *testing.T) {
						t.Parallel()
						test(t, p)
					})
				}
				go func() {
					const every = 20 * time.Millisecond
					n := int(during / every)
					for i := range n {
						time.StepWallClock(s.step(i, n))
						pause(every)
					}
				}()
			})
			used := cpu(t) - began
			t.Logf("CPU time: %v", used)
			require.Less(t, used, during/4, "CPU time: something spins")
		})
	}
}

// cpu is the CPU time that the process has used.
func cpu(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// runs are those of a handler.
type runs struct {
	mu       sync.Mutex
	count    map[string]int
	running  map[string]int
	overlaps []string
	attempts map[string]int
}

func (r *runs) begin(m *handler.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := string(m.Body)
	r.count[id]++
	r.attempts[id] = m.Attempt
	if r.running[id]++; r.running[id] > 1 {
		r.overlaps = append(r.overlaps, id)
	}
}

func (r *runs) end(m *handler.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[string(m.Body)]--
}

func (r *runs) handled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.count)
}

// Two consumers, the second opened after the steps have begun: each message is
// handled once, also by a handler that outlasts its lease many times.
func TestHandlersRunOnce(t *testing.T) {
	const each = 10
	run(t, 6*time.Second, func(t *testing.T, p place) {
		const params = "visibility_timeout=2s&max_attempts=2"
		source, sink := p.open(t, params)
		r := &runs{count: map[string]int{}, running: map[string]int{}, attempts: map[string]int{}}
		h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			r.begin(m)
			defer r.end(m)
			stop, err := m.Lease().Keep(handler.KeepOptions{})
			if err != nil {
				return err
			}
			defer stop()
			if string(m.Body) == "0" {
				pause(5 * time.Second)
			}
			pause(100 * time.Millisecond)
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		var consumers sync.WaitGroup
		consume := func(source drivers.Source) *consumer.Consumer {
			c, err := consumer.New(source, h, &consumer.Config{Concurrency: 4})
			require.NoError(t, err)
			consumers.Go(func() { require.NoError(t, c.Run(ctx)) })
			return c
		}
		send := func(from int) {
			for i := range each {
				require.Nil(t, sink.Send(ctx, []*handler.Message{{Body: fmt.Append(nil, from+i)}}))
			}
		}
		send(0)
		first := consume(source)
		pause(2500 * time.Millisecond)
		source, sink = p.open(t, params)
		second := consume(source)
		send(each)
		for began := time.Now(); r.handled() < 2*each && time.Since(began) < 20*time.Second; {
			pause(10 * time.Millisecond)
		}
		pause(2500 * time.Millisecond) // whatever comes again would come now
		stop()
		consumers.Wait()
		for i := range 2 * each {
			require.Equal(t, 1, r.count[fmt.Sprint(i)], "runs of message %d", i)
		}
		require.Empty(t, r.overlaps, "messages that were handled twice at once")
		for _, c := range []*consumer.Consumer{first, second} {
			s := c.Stats()
			require.Zero(t, s.DeadLettered+s.Retried, "%+v", s)
		}
		source, _ = p.open(t, params) // consumers close theirs
		inspector, ok := source.(drivers.Inspector)
		require.True(t, ok)
		d, err := inspector.Depth(t.Context())
		require.NoError(t, err)
		require.Zero(t, d.Visible+d.InFlight+d.Delayed+d.DeadLetters, "%+v", d)
	})
}

// Delays, windows and ages are as long as they were meant to be.
func TestDurations(t *testing.T) {
	run(t, 4*time.Second, func(t *testing.T, p place) {
		source, sink := p.open(t, "dedupe_window=6s&retention=14d&dead_letter=none&visibility_timeout=1h")
		send := func(m *handler.Message) {
			t.Helper()
			require.Nil(t, sink.Send(t.Context(), []*handler.Message{m}))
		}
		receive := func(wait time.Duration) []drivers.Delivery {
			t.Helper()
			ds, err := source.Receive(t.Context(), 1, wait)
			require.NoError(t, err)
			return ds
		}
		began := time.Now()
		send(&handler.Message{Body: []byte("delayed"), Delay: 3 * time.Second, DedupeID: "one"})
		send(&handler.Message{Body: []byte("kept"), Delay: time.Hour})
		ds := receive(10 * time.Second)
		require.Len(t, ds, 1)
		require.Equal(t, "delayed", string(ds[0].Message.Body))
		require.GreaterOrEqual(t, time.Since(began), 3*time.Second)
		require.InDelta(t, time.Hour, time.Until(ds[0].Deadline), float64(10*time.Second), "by the monotonic clock")
		require.WithinDuration(t, began, ds[0].Message.EnqueuedAt, time.Minute, "what the clock showed when it was sent, but for small steps")

		began2 := time.Now()
		require.Nil(t, source.Settle(t.Context(), []drivers.Settlement{{
			Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionRetry, Delay: time.Second, Delayed: true,
		}}))
		require.Len(t, receive(10*time.Second), 1)
		require.GreaterOrEqual(t, time.Since(began2), time.Second)

		send(&handler.Message{Body: []byte("duplicate"), DedupeID: "one"})
		require.Empty(t, receive(0), "the window has not ended")
		inspector, ok := source.(drivers.Inspector)
		require.True(t, ok)
		d, err := inspector.Depth(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, d.Delayed, "what waits for an hour is kept")
		require.EqualValues(t, 1, d.InFlight)
		require.Less(t, d.OldestAge, 30*time.Second)
		pause(6*time.Second - time.Since(began))
		send(&handler.Message{Body: []byte("no duplicate"), DedupeID: "one"})
		require.Len(t, receive(10*time.Second), 1, "the window has ended")
	})
}

// An owner that sets itself to a time of the wall clock, until that is reached.
type owner struct {
	timer.Item
	heap  *timer.Heap[*owner]
	until time.Time
	fires atomic.Int64
	done  chan time.Time
}

func (o *owner) Fire(now time.Time) {
	o.fires.Add(1)
	if now.Before(o.until) {
		o.heap.Set(o, o.until)
		return
	}
	o.done <- now
}

func TestHeapDoesNotSpin(t *testing.T) {
	for _, step := range []time.Duration{0, time.Hour, -time.Hour} {
		h := timer.New[*owner]()
		time.StepWallClock(step)
		begin := time.Now()
		o := &owner{heap: h, until: begin.Round(0).Add(500 * time.Millisecond), done: make(chan time.Time, 1)}
		h.Set(o, o.until)
		select {
		case at := <-o.done:
			require.GreaterOrEqual(t, at.Sub(begin), 500*time.Millisecond)
			require.LessOrEqual(t, o.fires.Load(), int64(3), "after a step of %v", step)
		case <-time.After(10 * time.Second):
			t.Fatalf("after a step of %v it fired %d times, and not when it was due", step, o.fires.Load())
		}
		h.Close()
	}
}
