package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// lease is a handler.Lease that a test extends by hand.
type lease struct {
	mu       sync.Mutex
	deadline time.Time
	onExtend func(time.Time)
}

func (l *lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

func (l *lease) Extend(_ context.Context, d time.Duration) error {
	l.mu.Lock()
	l.deadline = time.Now().Add(d)
	f, deadline := l.onExtend, l.deadline
	l.mu.Unlock()
	if f != nil {
		f(deadline)
	}
	return nil
}

func (l *lease) Keep(handler.KeepOptions) (func(), error) { return func() {}, nil }

func (l *lease) OnExtend(f func(time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onExtend = f
}

func leased(id string, d time.Duration) *handler.Message {
	m := &handler.Message{ID: id, DedupeID: id}
	m.Bind(&handler.Origin{Queue: "orders"}, &lease{deadline: time.Now().Add(d)})
	return m
}

// store wraps the memory store with faults.
type store struct {
	idempotency.Store
	fail map[string]*atomic.Int32 // by operation: how many calls fail
}

var errDown = errors.New("the store is down")

func failing(op string, n int32) *store {
	s := &store{Store: idempotency.NewMemory(), fail: map[string]*atomic.Int32{op: {}}}
	s.fail[op].Store(n)
	return s
}

func (s *store) fails(op string) bool { return s.fail[op] != nil && s.fail[op].Add(-1) >= 0 }

func (s *store) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	if s.fails("claim") {
		return idempotency.Claim{}, errDown
	}
	return s.Store.Claim(ctx, key, token, ttl)
}

func (s *store) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	if s.fails("renew") {
		return errDown
	}
	return s.Store.Renew(ctx, key, token, ttl)
}

func (s *store) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	if s.fails("complete") {
		return errDown
	}
	return s.Store.Complete(ctx, key, token, result, ttl)
}

func guard(t *testing.T, s idempotency.Store, c *idempotency.Config, h handler.HandlerFunc) handler.Handler {
	t.Helper()
	mw, err := idempotency.New(s, c)
	require.NoError(t, err)
	return mw(h)
}

func TestADuplicateHasNoSecondEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		effects := 0
		seen := &observer{}
		var result string
		h := guard(t, idempotency.NewMemory(), &idempotency.Config{
			Observer:    seen,
			OnDuplicate: func(_ context.Context, _ *handler.Message, r []byte) error { result = string(r); return nil },
		}, func(ctx context.Context, _ *handler.Message) error {
			effects++
			require.True(t, idempotency.SetResult(ctx, []byte("receipt 7")))
			return nil
		})
		for range 3 {
			m := leased("a", time.Minute)
			require.NoError(t, h.Handle(t.Context(), m))
		}
		other := leased("b", time.Minute)
		require.NoError(t, h.Handle(t.Context(), other))
		require.Equal(t, 2, effects)
		require.Equal(t, "receipt 7", result)
		require.Equal(t, []string{"orders", "orders"}, seen.queues)

		time.Sleep(14*24*time.Hour + time.Second) //nolint:forbidigo // moves the bubble's clock
		m := leased("a", time.Minute)
		require.NoError(t, h.Handle(t.Context(), m))
		require.Equal(t, 3, effects, "the mark ends with its TTL")
	})
}

type observer struct {
	mu     sync.Mutex
	queues []string
}

func (o *observer) Observe(e handler.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.Kind == handler.EventDuplicate {
		o.queues = append(o.queues, e.Origin.Queue)
	}
}

func TestWhatAVerdictDoesToTheKey(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		verdict  error
		runsNext bool
	}{
		{"ack marks", nil, false},
		{"drop marks", handler.Drop(boom), false},
		{"an error releases", boom, true},
		{"a delayed retry releases", handler.RetryAfter(time.Second, boom), true},
		{"a rejection releases, for the redrive", handler.Reject(boom), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := 0
			h := guard(t, idempotency.NewMemory(), nil, func(context.Context, *handler.Message) error {
				runs++
				return c.verdict
			})
			m := leased("a", time.Minute)
			require.Equal(t, c.verdict, h.Handle(t.Context(), m))
			m = leased("a", time.Minute)
			_ = h.Handle(t.Context(), m)
			require.Equal(t, c.runsNext, runs == 2)
		})
	}
}

func TestAPanicReleases(t *testing.T) {
	runs := 0
	h := guard(t, idempotency.NewMemory(), nil, func(context.Context, *handler.Message) error {
		if runs++; runs == 1 {
			panic("boom")
		}
		return nil
	})
	m := leased("a", time.Minute)
	require.PanicsWithValue(t, "boom", func() { _ = h.Handle(t.Context(), m) })
	require.NoError(t, h.Handle(t.Context(), m))
	require.Equal(t, 2, runs)
}

func TestADuplicateInProgressWaitsForTheClaimsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		h := guard(t, idempotency.NewMemory(), nil, func(context.Context, *handler.Message) error { <-leave; return nil })
		done := make(chan error, 1)
		m := leased("a", time.Minute)
		go func() { done <- h.Handle(t.Context(), m) }()
		synctest.Wait()

		duplicate := leased("a", time.Minute)
		v := handler.VerdictOf(h.Handle(t.Context(), duplicate))
		require.Equal(t, handler.ActionRetry, v.Action)
		require.GreaterOrEqual(t, v.Delay, time.Minute)
		require.Less(t, v.Delay, 67*time.Second)
		close(leave)
		require.NoError(t, <-done)
	})
}

func TestTheClaimLastsAsLongAsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		h := guard(t, idempotency.NewMemory(), nil, func(ctx context.Context, m *handler.Message) error {
			runs.Add(1)
			for range 10 { // ten times the lease, extended
				time.Sleep(20 * time.Second) //nolint:forbidigo // moves the bubble's clock
				require.NoError(t, m.Lease().Extend(ctx, 30*time.Second))
			}
			return nil
		})
		m := leased("a", 30*time.Second)
		done := make(chan error, 1)
		go func() { done <- h.Handle(t.Context(), m) }()
		for range 19 {
			time.Sleep(10 * time.Second) //nolint:forbidigo // moves the bubble's clock
			duplicate := leased("a", 30*time.Second)
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(h.Handle(t.Context(), duplicate)).Action)
		}
		require.NoError(t, <-done)
		require.EqualValues(t, 1, runs.Load())
	})
}

func TestAClaimThatIsTakenOverIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := idempotency.NewMemory()
		var causes []error
		first := guard(t, s, nil, func(ctx context.Context, m *handler.Message) error {
			time.Sleep(time.Minute)                                   //nolint:forbidigo // outlives its claim
			require.NoError(t, m.Lease().Extend(ctx, 30*time.Second)) // too late
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return nil // it had its effect all the same
		})
		second := guard(t, s, nil, func(context.Context, *handler.Message) error { return nil })

		m := leased("a", 30*time.Second)
		done := make(chan error, 1)
		go func() { done <- first.Handle(t.Context(), m) }()
		time.Sleep(32 * time.Second) //nolint:forbidigo // moves the bubble's clock
		taken := leased("a", time.Minute)
		require.NoError(t, second.Handle(t.Context(), taken))

		err := <-done
		require.ErrorIs(t, err, idempotency.ErrClaimLost, "the late mark is refused")
		require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action, "and the message is not acked")
		require.Len(t, causes, 1)
		require.ErrorIs(t, causes[0], idempotency.ErrClaimLost)
	})
}

func TestTheStoreIsDown(t *testing.T) {
	t.Run("at the claim: no handler runs, nothing is acked", func(t *testing.T) {
		runs := 0
		h := guard(t, failing("claim", 1), nil, func(context.Context, *handler.Message) error { runs++; return nil })
		m := leased("a", time.Minute)
		v := handler.VerdictOf(h.Handle(t.Context(), m))
		require.Equal(t, handler.ActionRetry, v.Action)
		require.ErrorIs(t, v.Err, errDown)
		require.LessOrEqual(t, v.Delay, 30*time.Second)
		require.Zero(t, runs)
		require.NoError(t, h.Handle(t.Context(), m), "it recovers by itself")
		require.Equal(t, 1, runs)
	})
	t.Run("at the mark: it is set when the store is back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			runs := 0
			h := guard(t, failing("complete", 20), nil, func(context.Context, *handler.Message) error { runs++; return nil })
			for range 2 {
				m := leased("a", time.Minute)
				require.NoError(t, h.Handle(t.Context(), m))
			}
			require.Equal(t, 1, runs)
		})
	})
	t.Run("at the mark, for long: the message is not acked, and not run again while the claim lasts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			runs := 0
			h := guard(t, failing("complete", 1<<30), nil, func(context.Context, *handler.Message) error { runs++; return nil })
			m := leased("a", time.Minute)
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(h.Handle(t.Context(), m)).Action)
			m = leased("a", time.Minute)
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(h.Handle(t.Context(), m)).Action)
			require.Equal(t, 1, runs)
		})
	})
	t.Run("at a renewal, for a moment: the handler goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := guard(t, failing("renew", 3), nil, func(ctx context.Context, m *handler.Message) error {
				require.NoError(t, m.Lease().Extend(ctx, time.Minute))
				return context.Cause(ctx)
			})
			m := leased("a", time.Minute)
			require.NoError(t, h.Handle(t.Context(), m))
		})
	})
	t.Run("at a renewal, until the claim ends: the handler is canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := guard(t, failing("renew", 1<<30), nil, func(ctx context.Context, m *handler.Message) error {
				require.NoError(t, m.Lease().Extend(ctx, time.Minute))
				return context.Cause(ctx)
			})
			m := leased("a", time.Minute)
			require.ErrorIs(t, h.Handle(t.Context(), m), idempotency.ErrClaimLost)
		})
	})
}

func TestWithoutALeaseTheClaimHasItsOwnLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guard(t, idempotency.NewMemory(), &idempotency.Config{ClaimTTL: 10 * time.Second},
			func(ctx context.Context, _ *handler.Message) error { <-ctx.Done(); return ctx.Err() })
		for _, c := range []struct {
			name     string
			deadline time.Duration
			want     time.Duration
		}{{"ClaimTTL", time.Hour, 10 * time.Second}, {"the context's deadline", 5 * time.Second, 5 * time.Second}} {
			ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
			done := make(chan error, 1)
			go func() { done <- h.Handle(ctx, &handler.Message{ID: c.name}) }()
			synctest.Wait()
			v := handler.VerdictOf(h.Handle(t.Context(), &handler.Message{ID: c.name}))
			require.GreaterOrEqual(t, v.Delay, c.want, c.name)
			require.Less(t, v.Delay, c.want*5/4+time.Second, c.name)
			cancel()
			require.ErrorIs(t, <-done, context.Canceled)
		}
	})
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		name     string
		config   idempotency.Config
		first    handler.Message
		second   handler.Message
		together bool
	}{
		{"dedupe ID", idempotency.Config{}, handler.Message{ID: "1", DedupeID: "d"}, handler.Message{ID: "2", DedupeID: "d"}, true},
		{"message ID where there is none", idempotency.Config{}, handler.Message{ID: "1"}, handler.Message{ID: "1"}, true},
		{"different messages", idempotency.Config{}, handler.Message{ID: "1"}, handler.Message{ID: "2"}, false},
		{
			"attribute", idempotency.Config{Key: byEvent},
			handler.Message{ID: "1", Attributes: map[string]string{"event": "e"}},
			handler.Message{ID: "2", Attributes: map[string]string{"event": "e"}}, true,
		},
		{
			"function", idempotency.Config{Key: func(m *handler.Message) string { return string(m.Body) }},
			handler.Message{ID: "1", Body: []byte("b")}, handler.Message{ID: "2", Body: []byte("b")}, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := 0
			h := guard(t, idempotency.NewMemory(), &c.config, func(context.Context, *handler.Message) error { runs++; return nil })
			require.NoError(t, h.Handle(t.Context(), &c.first))
			require.NoError(t, h.Handle(t.Context(), &c.second))
			require.Equal(t, c.together, runs == 1)
		})
	}
}

func byEvent(m *handler.Message) string { return m.Attribute("event") }

func TestAMessageWithoutAKey(t *testing.T) {
	runs := 0
	count := func(context.Context, *handler.Message) error { runs++; return nil }
	err := guard(t, idempotency.NewMemory(), &idempotency.Config{Key: byEvent}, count).Handle(t.Context(), &handler.Message{})
	require.ErrorIs(t, err, idempotency.ErrNoKey)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	require.Zero(t, runs)

	h := guard(t, idempotency.NewMemory(), &idempotency.Config{Key: byEvent, RunKeyless: true}, count)
	require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
	require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
	require.Equal(t, 2, runs)
}

func TestQueuesAndNamespacesAreApart(t *testing.T) {
	s := idempotency.NewMemory()
	runs := 0
	count := func(context.Context, *handler.Message) error { runs++; return nil }
	for _, queue := range []string{"a", "b"} {
		m := &handler.Message{ID: "1"}
		m.Bind(&handler.Origin{Queue: queue}, nil)
		require.NoError(t, guard(t, s, nil, count).Handle(t.Context(), m))
		require.NoError(t, guard(t, s, &idempotency.Config{Namespace: "one"}, count).Handle(t.Context(), m))
	}
	require.Equal(t, 3, runs)
}

func TestNewNamesEachFault(t *testing.T) {
	_, err := idempotency.New(nil, nil)
	require.ErrorContains(t, err, "store is nil")
	_, err = idempotency.New(idempotency.NewMemory(), &idempotency.Config{DoneTTL: -1, ClaimTTL: -1, RetryMax: -1})
	for _, field := range []string{"DoneTTL", "ClaimTTL", "RetryMax"} {
		require.ErrorContains(t, err, field)
	}
}

func TestSetResultOutside(t *testing.T) { require.False(t, idempotency.SetResult(t.Context(), nil)) }

// TestNoTwoHandlersOfOneKeyAtOnce has workers whose leases end early, so that
// claims are taken over all the time, and checks the history of each key.
func TestNoTwoHandlersOfOneKeyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := idempotency.NewMemory()
		const keys, workers, rounds = 5, 20, 40
		var running [keys]atomic.Int32
		var completed [keys]atomic.Int32
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for round := range rounds {
					k := (w + round) % keys
					m := leased(fmt.Sprint(k), 5*time.Second)
					// As the runtime does: the context ends with the lease.
					ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, handler.ErrLeaseLost)
					h := guard(t, s, nil, func(ctx context.Context, _ *handler.Message) error {
						if running[k].Add(1) != 1 {
							t.Errorf("two handlers run key %d", k)
						}
						defer running[k].Add(-1)
						select {
						case <-time.After(time.Duration(1+(w*7+round*3)%8) * time.Second):
							completed[k].Add(1)
							return nil
						case <-ctx.Done():
							return context.Cause(ctx)
						}
					})
					err := h.Handle(ctx, m)
					cancel()
					if v := handler.VerdictOf(err); v.Delayed {
						time.Sleep(v.Delay) //nolint:forbidigo // the queue's delay, in the bubble's time
					}
				}
			})
		}
		wg.Wait()
		for k := range keys {
			require.EqualValues(t, 1, completed[k].Load(), "key %d", k)
		}
	})
}

func BenchmarkMiddleware(b *testing.B) {
	mw, err := idempotency.New(idempotency.NewMemory(), nil)
	require.NoError(b, err)
	h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m := handler.Message{ID: fmt.Sprint(i)}
		if err := h.Handle(b.Context(), &m); err != nil {
			b.Fatal(err)
		}
	}
}
