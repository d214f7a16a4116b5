package ratelimit_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

func newLimit(t testing.TB, limit int, per time.Duration, c *ratelimit.Config) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(limit, per, c)
	require.NoError(t, err)
	return l
}

// starts records when handlers start.
type starts struct {
	mu sync.Mutex
	at []time.Time
}

func (s *starts) Handle(context.Context, *handler.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	return nil
}

// requireAtMost fails if any second has more starts than the limit.
func (s *starts) requireAtMost(t *testing.T, limit int) {
	t.Helper()
	slices.SortFunc(s.at, time.Time.Compare)
	for i := limit; i < len(s.at); i++ {
		require.GreaterOrEqual(t, s.at[i].Sub(s.at[i-limit]), time.Second, "start %d", i)
	}
}

func attempts(ds []*handlertest.Delivery) (most int) {
	for _, d := range ds {
		most = max(most, d.Attempt)
	}
	return most
}

// drain handles n messages and returns how they were delivered.
func drain(t *testing.T, h handler.Handler, n int, c *handlertest.Config) []*handlertest.Delivery {
	t.Helper()
	q, err := handlertest.New(h, c)
	require.NoError(t, err)
	for i := range n {
		q.Send(&handler.Message{Group: strconv.Itoa(i % 2)})
	}
	ds, err := q.Drain(t.Context())
	require.NoError(t, err)
	require.Empty(t, q.DeadLetters())
	return ds
}

func TestABacklogIsHandledAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := &starts{}, time.Now()
		l := newLimit(t, 10, time.Second, nil)
		ds := drain(t, handler.Chain(s, l.Middleware), 200, &handlertest.Config{Concurrency: 8, Gates: []handler.Gate{l}})
		require.Len(t, s.at, 200)
		s.requireAtMost(t, 10)
		require.Less(t, time.Since(start), 21*time.Second, "and not much below it")
		require.Equal(t, 1, attempts(ds), "no delivery is spent on waiting")
	})
}

// Several processes share a limit, each with a gate that knows only what its own
// messages learnt.
func TestProcessesShareALimitWithoutSpendingAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, start := &starts{}, ratelimit.NewMemory(), time.Now()
		var processes sync.WaitGroup
		for range 5 {
			processes.Go(func() {
				l := newLimit(t, 20, time.Second, &ratelimit.Config{Store: store})
				ds := drain(t, handler.Chain(s, l.Middleware), 100, &handlertest.Config{Concurrency: 8, Gates: []handler.Gate{l}, MaxAttempts: -1})
				require.Less(t, len(ds), 110)
			})
		}
		processes.Wait()
		require.Len(t, s.at, 500)
		s.requireAtMost(t, 20)
		require.Less(t, time.Since(start), 30*time.Second)
	})
}

func TestWithoutTheGateMessagesComeBackInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &starts{}
		l := newLimit(t, 5, time.Second, &ratelimit.Config{MaxWait: -1})
		ds := drain(t, handler.Chain(s, l.Middleware), 100, &handlertest.Config{Concurrency: 100, MaxAttempts: -1})
		s.requireAtMost(t, 5)
		require.LessOrEqual(t, attempts(ds), 3, "each at its time, not all at once again and again")
		for _, d := range ds {
			if d.Outcome == handlertest.Redelivered {
				require.ErrorIs(t, d.Verdict.Err, ratelimit.ErrLimited)
				require.ErrorIs(t, d.Verdict.Err, handler.ErrPostponed)
			}
		}
	})
}

func TestAMessageOverTheLimitWaitsForItsPlace(t *testing.T) {
	for _, tc := range []struct {
		name    string
		maxWait time.Duration
		lease   time.Duration
		waits   bool
	}{
		{"near enough", time.Second, time.Minute, true},
		{"too far away", 999 * time.Millisecond, time.Minute, false},
		{"half the lease is too short", 10 * time.Second, 1999 * time.Millisecond, false},
		{"half the lease is enough", 10 * time.Second, 2 * time.Second, true},
		{"no lease to run down", time.Second, 0, true},
		{"by default", 0, time.Minute, true},
		{"never", -1, time.Minute, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimit(t, 1, time.Second, &ratelimit.Config{Name: "gateway", MaxWait: tc.maxWait})
				s := &starts{}
				h := handler.Chain(s, l.Middleware)
				m := &handler.Message{}
				if tc.lease > 0 {
					lease := handlertest.NewLease(tc.lease, nil)
					defer lease.End()
					m.Bind(nil, lease)
				}
				require.NoError(t, h.Handle(t.Context(), m))
				err := h.Handle(t.Context(), m)
				if tc.waits {
					require.NoError(t, err)
					require.Equal(t, time.Second, s.at[1].Sub(s.at[0]))
					return
				}
				require.EqualError(t, err, "retry after 1s: postponed: gateway: rate limit reached (1 in 1s)")
				require.Len(t, s.at, 1)
			})
		})
	}
}

func TestAWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(t, 1, time.Minute, &ratelimit.Config{MaxWait: time.Hour})
		s := &starts{}
		h := handler.Chain(s, l.Middleware)
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(handler.ErrStopped) })
		err := h.Handle(ctx, &handler.Message{})
		require.ErrorIs(t, err, handler.ErrStopped)
		require.ErrorIs(t, err, handler.ErrPostponed)
		require.Len(t, s.at, 1)
	})
}

func TestTheGateFollowsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(t, 8, time.Minute, nil)
		h := handler.Chain(&starts{}, l.Middleware)
		admit := func(want int) int { n, _ := l.Admit(want); return n }
		require.Equal(t, 8, admit(100))
		require.Equal(t, 2, admit(2), "four receives of two have room")
		require.Equal(t, 2, admit(3), "four receives of three have not: they are to go one at a time")
		for left := 7; left >= 0; left-- {
			require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
			require.Equal(t, left, admit(100))
			<-time.After(time.Second)
		}
		start := time.Now()
		n, reopened := l.Admit(100)
		require.Zero(t, n)
		_, again := l.Admit(100)
		require.Equal(t, reopened, again)
		<-reopened
		// A batch of two is free a minute after the second start, which was 7 s
		// before.
		require.Equal(t, 53*time.Second, time.Since(start))
		require.Equal(t, 2, admit(100))
		<-time.After(time.Minute)
		require.Equal(t, 8, admit(100), "the whole window is free again, though no message has said so")
	})
}

func TestEachKeyHasItsOwnWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(t, 2, time.Minute, &ratelimit.Config{Key: func(m *handler.Message) string { return m.Group }})
		s := &starts{}
		h := handler.Chain(s, l.Middleware)
		for _, group := range []string{"a", "b", "a", "b"} {
			require.NoError(t, h.Handle(t.Context(), &handler.Message{Group: group}))
		}
		start := time.Now()
		err := h.Handle(t.Context(), &handler.Message{Group: "a"})
		require.ErrorIs(t, err, ratelimit.ErrLimited)
		require.Equal(t, time.Minute, handler.VerdictOf(err).Delay)
		require.Zero(t, time.Since(start), "a busy key occupies no handler")
		require.NoError(t, h.Handle(t.Context(), &handler.Message{Group: "c"}))
		n, _ := l.Admit(100)
		require.Equal(t, 100, n)
	})
}

func TestKeysInOneProcessAndQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(t, 5, time.Second, &ratelimit.Config{Key: func(m *handler.Message) string { return m.Group }})
		both := &starts{}
		start := time.Now()
		drain(t, handler.Chain(both, l.Middleware), 100, &handlertest.Config{Concurrency: 16, MaxAttempts: -1})
		both.requireAtMost(t, 10) // five of each of the two
		require.Less(t, time.Since(start), 15*time.Second)
	})
}

// flaky is a store that fails while err is set.
type flaky struct {
	ratelimit.Store
	mu  sync.Mutex
	err error
}

func (f *flaky) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *flaky) Take(ctx context.Context, r ratelimit.Request) (ratelimit.Answer, error) {
	if _, limited := ctx.Deadline(); !limited {
		return ratelimit.Answer{}, errors.New("the store is given no end")
	}
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) {
		<-ctx.Done()
		err = ctx.Err()
	}
	if err != nil {
		return ratelimit.Answer{}, err
	}
	return f.Store.Take(ctx, r)
}

func TestWhileTheStoreFailsMessagesAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		store := &flaky{Store: ratelimit.NewMemory()}
		l := newLimit(t, 10, time.Second, &ratelimit.Config{Name: "gateway", Store: store, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		s := &starts{}
		h := handler.Chain(s, l.Middleware)
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))

		down := errors.New("connection refused")
		store.set(down)
		longest := 500 * time.Millisecond
		for range 10 {
			for range 3 { // those that fail together lengthen the pause once
				err := h.Handle(t.Context(), &handler.Message{})
				require.ErrorIs(t, err, down)
				require.ErrorIs(t, err, handler.ErrPostponed)
			}
			synctest.Wait()
			start := time.Now()
			n, reopened := l.Admit(5)
			require.Zero(t, n)
			<-reopened
			require.LessOrEqual(t, time.Since(start), longest)
			require.GreaterOrEqual(t, time.Since(start), longest/2)
			longest = min(2*longest, 30*time.Second)
		}
		require.Len(t, s.at, 1)
		require.Equal(t, `the store of the rate limit "gateway" is down: connection refused`, l.Reason())

		store.set(nil)
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
		n, _ := l.Admit(2)
		require.Equal(t, 2, n)
		require.Empty(t, l.Reason())
		require.Equal(t, 1, strings.Count(out.String(), "does not answer"), &out)
		require.Equal(t, 1, strings.Count(out.String(), "answers again"), &out)
		require.Contains(t, out.String(), `error="connection refused"`)
	})
}

func TestAStoreThatHangsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: ratelimit.NewMemory(), err: context.DeadlineExceeded}
		l := newLimit(t, 10, time.Second, &ratelimit.Config{Store: store})
		start := time.Now()
		require.ErrorIs(t, handler.Chain(&starts{}, l.Middleware).Handle(t.Context(), &handler.Message{}), handler.ErrPostponed)
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestAShutdownIsNoFailureOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: ratelimit.NewMemory(), err: context.DeadlineExceeded}
		l := newLimit(t, 10, time.Second, &ratelimit.Config{Store: store})
		ctx, stop := context.WithCancelCause(t.Context())
		stop(handler.ErrStopped)
		err := handler.Chain(&starts{}, l.Middleware).Handle(ctx, &handler.Message{})
		require.ErrorIs(t, err, handler.ErrStopped)
		n, _ := l.Admit(2)
		require.Equal(t, 2, n)
	})
}

func TestFailOpenLetsMessagesPass(t *testing.T) {
	store := &flaky{Store: ratelimit.NewMemory(), err: errors.New("connection refused")}
	l := newLimit(t, 1, time.Hour, &ratelimit.Config{Store: store, FailOpen: true})
	s := &starts{}
	for range 5 {
		require.NoError(t, handler.Chain(s, l.Middleware).Handle(t.Context(), &handler.Message{}))
	}
	require.Len(t, s.at, 5)
	n, _ := l.Admit(5)
	require.Equal(t, 1, n, "as many as the limit allows")
}

func TestNewRefusesNonsense(t *testing.T) {
	_, err := ratelimit.New(0, 0, &ratelimit.Config{Name: "gateway", StoreTimeout: -1})
	for _, want := range []string{`"gateway"`, "limit is 0", "time is 0s", "StoreTimeout"} {
		require.ErrorContains(t, err, want)
	}
}

func BenchmarkLimiter(b *testing.B) {
	ok := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	for name, c := range map[string]*ratelimit.Config{
		"one window": nil,
		"keys":       {Key: func(m *handler.Message) string { return m.Group }},
	} {
		b.Run(name, func(b *testing.B) {
			h := newLimit(b, 1<<30, time.Millisecond, c).Middleware(ok)
			m := &handler.Message{Group: "g"}
			b.ReportAllocs()
			for b.Loop() {
				_ = h.Handle(context.Background(), m)
			}
		})
	}
}

// A heldStore answers each request when a test says so.
type heldStore struct{ asked chan chan ratelimit.Answer }

func (s heldStore) Take(context.Context, ratelimit.Request) (ratelimit.Answer, error) {
	c := make(chan ratelimit.Answer)
	s.asked <- c
	return <-c, nil
}

// An answer that comes late does not reopen a gate that a newer one has closed.
func TestALateAnswerDoesNotReopenTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := heldStore{asked: make(chan chan ratelimit.Answer)}
		l := newLimit(t, 10, time.Minute, &ratelimit.Config{Store: store, StoreTimeout: time.Hour})
		h := l.Middleware(&starts{})
		ask := func() (question chan ratelimit.Answer, done chan error) {
			done = make(chan error, 1)
			go func() { done <- h.Handle(t.Context(), &handler.Message{ID: "m"}) }()
			return <-store.asked, done
		}
		older, olderDone := ask()
		time.Sleep(time.Second) //nolint:forbidigo // moves the bubble's clock
		newer, newerDone := ask()
		newer <- ratelimit.Answer{Taken: true, Next: 30 * time.Second}
		require.NoError(t, <-newerDone)
		older <- ratelimit.Answer{Taken: true, Free: 5}
		require.NoError(t, <-olderDone)
		n, _ := l.Admit(10)
		require.Zero(t, n)
		require.NotEmpty(t, l.Reason())
		time.Sleep(31 * time.Second) //nolint:forbidigo // moves the bubble's clock
		n, _ = l.Admit(10)
		require.Positive(t, n)
	})
}
