package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// ledger records what handlers did, and finds faults in it.
type ledger struct {
	mu      sync.Mutex
	rand    *rand.Rand
	running map[string]time.Time // deadline by message ID
	groups  map[string]string    // the message that runs, by group
	done    map[string]int       // how often a message succeeded
	order   map[string][]string  // first successes, by group
	faults  []string
}

func (l *ledger) chance(percent int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.IntN(100) < percent
}

func (l *ledger) between(low, high time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return low + time.Duration(l.rand.Int64N(int64(high-low)+1))
}

// handle does one of the many things that a handler does.
func (l *ledger) handle(ctx context.Context, m *handler.Message) (err error) {
	l.mu.Lock()
	if _, ok := l.running[m.ID]; ok {
		l.faults = append(l.faults, m.ID+" runs twice concurrently")
	}
	if other := l.groups[m.Group]; m.Group != "" && other != "" {
		l.faults = append(l.faults, m.ID+" runs beside "+other+" of its group")
	}
	l.running[m.ID], l.groups[m.Group] = m.Lease().Deadline(), m.ID
	l.mu.Unlock()
	panicked := true
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.running, m.ID)
		delete(l.groups, m.Group)
		if err != nil || panicked || ctx.Err() != nil {
			return
		}
		if l.done[m.ID]++; l.done[m.ID] == 1 {
			l.order[m.Group] = append(l.order[m.Group], m.ID)
		}
	}()
	err = l.work(ctx, m)
	panicked = false
	return err
}

func (l *ledger) work(ctx context.Context, m *handler.Message) error {
	if l.chance(50) {
		stop, err := m.Lease().Keep(handler.KeepOptions{})
		if err == nil && l.chance(80) {
			defer stop()
		}
	}
	if l.chance(10) {
		_ = m.Lease().Extend(ctx, l.between(time.Second, time.Minute))
	}
	longest := 200 * time.Millisecond
	if l.chance(5) {
		longest = 40 * time.Second // longer than the lease
	}
	if err := lasting(l.between(0, longest))(ctx, m); err != nil {
		return err
	}
	switch {
	case l.chance(5):
		return handler.RetryAfter(l.between(0, 20*time.Second), nil)
	case l.chance(3):
		return errors.New("x")
	case l.chance(2):
		panic("x")
	}
	return nil
}

// TestChaos runs consumers one after the other on a queue that fails, each
// stopped at some moment, until the queue is empty: nothing is lost, nothing is
// handled twice concurrently, and groups keep their order.
func TestChaos(t *testing.T) {
	for seed := range uint64(12) {
		for _, ordered := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed=%d,ordered=%t", seed, ordered), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { chaos(t, seed, ordered) })
			})
		}
	}
}

func chaos(t *testing.T, seed uint64, ordered bool) {
	const n = 200
	l := &ledger{
		rand: rand.New(rand.NewPCG(seed, 1)), running: map[string]time.Time{}, groups: map[string]string{},
		done: map[string]int{}, order: map[string][]string{},
	}
	q := newQueue(0)
	q.caps.Lease = 10 * time.Second
	q.caps.Ordered = ordered
	if ordered {
		q.fifo = true
		for range n / 5 {
			for g := range 5 {
				q.add(1, fmt.Sprint("g", g))
			}
		}
	} else {
		q.add(n, "")
	}
	var failing []string
	fail := func(what string) error {
		if l.chance(10) {
			failing = append(failing, what)
			return fault(drivers.Transient)
		}
		return nil
	}
	q.latency = 5 * time.Millisecond
	q.onSettle = func(drivers.Settlement) error { return fail("settle") }
	q.onExtend = func(drivers.Extension) error { return fail("extend") }
	for runs := 0; ; runs++ {
		require.Less(t, runs, 200, "it does not end")
		l.mu.Lock()
		left := n - len(l.done)
		l.mu.Unlock()
		q.locked(func() { left += len(q.flying) + len(q.hidden) + len(q.visible) })
		if left == 0 {
			break
		}
		q.onReceive = nil
		started := false
		q.onReceive = func(int) error {
			if !started {
				started = true // at start-up some errors are fatal
				return nil
			}
			return fail("receive")
		}
		w := start(t, q, l.handle, consumer.Config{
			Concurrency: 1 + int(l.between(0, 30)), DrainTimeout: l.between(1, 5*time.Second),
		})
		pass(l.between(0, 20*time.Second))
		if err := w.stop(); err != nil {
			require.ErrorIs(t, err, consumer.ErrDrainTimeout)
		}
		s := w.c.Stats()
		require.Zero(t, s.Running)
		require.Zero(t, s.Waiting)
		require.Zero(t, s.Pollers)
	}
	require.Empty(t, l.faults)
	require.NotEmpty(t, failing, "something did fail")
	require.Len(t, l.done, n)
	if !ordered {
		return
	}
	for g := range 5 {
		var want []string
		for i := range n / 5 {
			want = append(want, fmt.Sprint("m", 5*i+g+1))
		}
		require.Equal(t, want, l.order[fmt.Sprint("g", g)])
	}
}
