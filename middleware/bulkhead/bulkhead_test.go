package bulkhead_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware/bulkhead"
)

func byGroup(m *handler.Message) string { return m.Group }

func newBulkhead(t testing.TB, limit int, c *bulkhead.Config) handler.Middleware {
	t.Helper()
	mw, err := bulkhead.New(limit, byGroup, c)
	require.NoError(t, err)
	return mw
}

// crowd counts the handlers that run at the same time, by group.
type crowd struct {
	mu        sync.Mutex
	now, most map[string]int
}

func newCrowd() *crowd { return &crowd{now: map[string]int{}, most: map[string]int{}} }

func (c *crowd) Handle(_ context.Context, m *handler.Message) error {
	c.mu.Lock()
	c.now[m.Group]++
	c.most[m.Group] = max(c.most[m.Group], c.now[m.Group])
	c.mu.Unlock()
	<-time.After(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now[m.Group]--
	return nil
}

func TestNoKeyHasMoreThanItsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd()
		q, err := handlertest.New(handler.Chain(c, newBulkhead(t, 3, nil)), &handlertest.Config{Concurrency: 10, MaxAttempts: -1})
		require.NoError(t, err)
		for range 60 {
			q.Send(&handler.Message{Group: "busy"})
		}
		for range 3 {
			q.Send(&handler.Message{Group: "quiet"})
		}
		for range 4 {
			q.Send(&handler.Message{})
		}
		ds, err := q.Drain(t.Context())
		require.NoError(t, err)
		require.Equal(t, 3, c.most["busy"])
		require.Equal(t, 4, c.most[""], "messages without a key are not limited")

		for _, d := range ds {
			if d.Message.Group != "busy" {
				require.Equal(t, handlertest.Acked, d.Outcome, "the busy key is in no one's way")
				require.Less(t, d.At.Sub(ds[0].At), 2*time.Second)
			}
		}
		// Were all of them to come back each second, it would be more than 600.
		require.Less(t, len(ds), 300, "they come back when it should be their turn")
	})
}

func TestAMessageOverTheLimitIsGivenBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		mw := newBulkhead(t, 1, &bulkhead.Config{Name: "tenant", Delay: 4 * time.Second})
		h := mw(handler.HandlerFunc(func(context.Context, *handler.Message) error { <-release; return nil }))
		m := &handler.Message{Group: "g"}
		done := make(chan error)
		go func() { done <- h.Handle(t.Context(), m) }()
		synctest.Wait()

		start := time.Now()
		err := h.Handle(t.Context(), m)
		require.Zero(t, time.Since(start))
		require.ErrorIs(t, err, bulkhead.ErrFull)
		require.ErrorIs(t, err, handler.ErrPostponed)
		require.EqualError(t, err, "retry after 4s: postponed: tenant: bulkhead is full (limit 1)")

		close(release)
		require.NoError(t, <-done)
		require.NoError(t, h.Handle(t.Context(), m))
	})
}

func TestPlacesAreGivenBackWhateverHappens(t *testing.T) {
	for name, end := range map[string]func() error{
		"error":  func() error { return handler.Reject(nil) },
		"panic":  func() error { panic("x") },
		"goexit": func() error { (&testing.T{}).FailNow(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			h := newBulkhead(t, 1, nil)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return end() }))
			for range 5 {
				var err error
				var done sync.WaitGroup
				done.Go(func() {
					defer func() { _ = recover() }()
					err = h.Handle(t.Context(), &handler.Message{Group: "g"})
				})
				done.Wait()
				require.NotErrorIs(t, err, bulkhead.ErrFull)
			}
		})
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	_, err := bulkhead.New(0, nil, &bulkhead.Config{Name: "tenant", Delay: -1})
	for _, want := range []string{`"tenant"`, "limit is 0", "key function", "Delay"} {
		require.ErrorContains(t, err, want)
	}
}

func BenchmarkBulkhead(b *testing.B) {
	ok := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	h := newBulkhead(b, 1, nil)(ok)
	m := &handler.Message{Group: "g"}
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Handle(context.Background(), m)
	}
}
