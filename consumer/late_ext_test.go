package consumer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// slowWire is a queue whose requests of one kind are slow on the wire: they end
// with their context, or are carried out when the time is over.
type slowWire struct {
	*queue
	settle, extend time.Duration
	slow           func(first drivers.Settlement) bool // which settlements; nil means all

	mu      sync.Mutex
	settled []wired
	longest time.Duration // of the requests that were cut off, or went through
}

type wired struct {
	receipts []string
	until    time.Time // the context's deadline
	at       time.Time
}

func (w *slowWire) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	until, _ := ctx.Deadline()
	one := wired{until: until, at: time.Now()}
	for _, s := range ss {
		one.receipts = append(one.receipts, s.Receipt)
	}
	w.mu.Lock()
	w.settled = append(w.settled, one)
	w.mu.Unlock()
	if w.slow == nil || w.slow(ss[0]) {
		if err := wire(ctx, w.settle); err != nil {
			return all(len(ss), err)
		}
	}
	return w.queue.Settle(ctx, ss)
}

func (w *slowWire) Extend(ctx context.Context, es []drivers.Extension) []error {
	began := time.Now()
	err := wire(ctx, w.extend)
	w.mu.Lock()
	w.longest = max(w.longest, time.Since(began))
	w.mu.Unlock()
	if err != nil {
		return all(len(es), err)
	}
	return w.queue.Extend(ctx, es)
}

func wire(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// No request for any verdict is on the wire after its lease.
func TestASlowVerdictEndsWithItsLease(t *testing.T) {
	for name, verdict := range map[string]error{
		"ack":    nil,
		"retry":  handler.RetryAfter(time.Second, errors.New("later")),
		"reject": handler.Reject(errors.New("bad")),
		"drop":   handler.Drop(errors.New("old")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				q := &slowWire{queue: newQueue(1), settle: 40 * time.Second}
				q.caps.Lease = 8 * time.Second
				w := start(t, q, func(ctx context.Context, m *handler.Message) error {
					if m.Attempt > 1 {
						<-ctx.Done()
						return context.Cause(ctx)
					}
					<-time.After(7 * time.Second)
					return verdict
				}, consumer.Config{})
				pass(15 * time.Second)
				require.NotEmpty(t, q.settled)
				for _, one := range q.settled {
					require.LessOrEqual(t, one.until.Sub(began), 8*time.Second, "it is bounded by its lease")
				}
				require.Empty(t, q.settles, "none was carried out")
				s := w.c.Stats()
				require.EqualValues(t, 1, s.Late, "%+v", s)
				require.Zero(t, s.Unsettled, "%+v", s)
				require.EqualValues(t, 2, s.Received, "the message came again")
				_ = w.stop() // the last message may be handled or given back
			})
		})
	}
}

// Verdicts of different leases share a batch, and not each other's bounds.
func TestAVerdictNearItsLeasesEndDoesNotCutOthersShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &slowWire{queue: newQueue(0), settle: 900 * time.Millisecond}
		q.caps.Lease = 12 * time.Second
		release := make(chan struct{})
		w := start(t, q, func(context.Context, *handler.Message) error {
			<-release
			return nil
		}, consumer.Config{Concurrency: 4, SettleDelay: 10 * time.Millisecond})
		q.add(1, "")
		pass(5800 * time.Millisecond)
		q.add(1, "")
		pass(5700 * time.Millisecond) // 0.5 s and 6.3 s are left
		close(release)
		pass(5 * time.Second)
		s := w.c.Stats()
		require.EqualValues(t, 3, s.Received, "the first message came again: %+v", s)
		require.EqualValues(t, 2, s.Acked, "%+v", s)
		require.EqualValues(t, 1, s.Late+s.Unsettled, "%+v", s)
		sent := 0
		for _, one := range q.settled {
			sent += len(one.receipts)
		}
		require.Equal(t, 3, sent, "none was tried twice")
		require.NoError(t, w.stop())
	})
}

// A verdict whose lease ends while it waits for its turn is late.
func TestAVerdictThatWaitsPastItsLeaseIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 33 // the requests that may be on their way, and one
		q := &slowWire{queue: newQueue(n), settle: time.Hour}
		q.caps.Lease, q.caps.MaxSettle, q.caps.MaxReceive = 10*time.Second, 1, n
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			if m.Attempt > 1 {
				return lasting(time.Hour)(ctx, m)
			}
			return nil
		}, consumer.Config{Concurrency: n})
		pass(11 * time.Second)
		require.Len(t, w.events.of(handler.EventLateVerdict), int(w.c.Stats().Late))
		require.Positive(t, w.c.Stats().Late, "%+v", w.c.Stats())
		require.EqualValues(t, n, w.c.Stats().Late+w.c.Stats().Unsettled)
		for _, one := range q.settled {
			require.Positive(t, one.until.Sub(one.at), "nothing is sent after the lease")
		}
		w.c.Abort()
		require.Error(t, <-w.done)
	})
}

// A release whose lease has ended is neither needed nor reported.
func TestALateReleaseIsDroppedInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &slowWire{queue: newQueue(0), settle: time.Minute}
		q.caps.Lease, q.caps.Ordered, q.fifo = 3*time.Second, true, true
		q.add(4, "g")
		w := start(t, q, lasting(time.Hour), consumer.Config{})
		w.c.Abort() // those that wait for their group go back
		require.ErrorIs(t, <-w.done, consumer.ErrDrainTimeout)
		s := w.c.Stats()
		require.EqualValues(t, 4, s.Received)
		require.Zero(t, s.Released)
		require.EqualValues(t, 1, s.Late+s.Unsettled, "the verdict of the handler that was canceled")
		require.LessOrEqual(t, len(w.events.of(handler.EventLateVerdict)), 1)
		require.Empty(t, q.settles)
	})
}

// If the provider reports that the lease is lost while the verdict waits for that
// answer, the verdict is not carried out.
func TestAVerdictIsNotCarriedOutOnceTheLeaseIsLost(t *testing.T) {
	for name, verdict := range map[string]error{
		"ack": nil, "retry": handler.RetryAfter(0, nil), "reject": handler.Reject(errors.New("bad")),
	} {
		for when, handles := range map[string]time.Duration{
			"before the answer": 50 * time.Millisecond, "with the answer": 110 * time.Millisecond, "after it": time.Second,
		} {
			t.Run(name+" "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := newQueue(1)
					q.latency = 100 * time.Millisecond
					q.onExtend = func(drivers.Extension) error { return drivers.ErrLeaseLost }
					w := start(t, q, func(ctx context.Context, m *handler.Message) error {
						if m.Attempt > 1 {
							return lasting(time.Hour)(ctx, m)
						}
						go func() { _ = m.Lease().Extend(ctx, time.Minute) }()
						<-time.After(handles)
						return verdict
					}, consumer.Config{})
					pass(2 * time.Second)
					require.Empty(t, q.letters)
					require.Empty(t, q.settles)
					s := w.c.Stats()
					require.EqualValues(t, 1, s.Late, "%+v", s)
					require.Len(t, w.events.of(handler.EventLateVerdict), 1)
					require.NoError(t, w.stop())
				})
			})
		}
	}
}

// An extension is as much of a claim on the message as a verdict is.
func TestAnExtensionEndsWithItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &slowWire{queue: newQueue(1), extend: time.Hour}
		q.caps.Lease = 2 * time.Second
		w := start(t, q, func(ctx context.Context, m *handler.Message) error {
			<-time.After(1500 * time.Millisecond)
			_ = m.Lease().Extend(ctx, time.Minute)
			return nil
		}, consumer.Config{Concurrency: 1})
		pass(2500 * time.Millisecond)
		require.LessOrEqual(t, q.longest, 500*time.Millisecond)
		require.Positive(t, q.longest)
		w.c.Abort()
		<-w.ended
	})
}
