package handler_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// bulk records the batches that it was given, by the messages' IDs.
type bulk struct {
	mu      sync.Mutex
	batches [][]string
	handle  func(ctx context.Context, ms []*handler.Message) []error
}

func (b *bulk) HandleBatch(ctx context.Context, ms []*handler.Message) []error {
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.ID
	}
	b.mu.Lock()
	b.batches = append(b.batches, ids)
	b.mu.Unlock()
	if b.handle == nil {
		return nil
	}
	return b.handle(ctx, ms)
}

// sizes returns the sizes of the batches, smallest first.
func (b *bulk) sizes() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	sizes := make([]int, len(b.batches))
	for i, ids := range b.batches {
		sizes[i] = len(ids)
	}
	slices.Sort(sizes)
	return sizes
}

func newBatch(t testing.TB, b handler.BatchHandler, c *handler.BatchConfig) handler.Handler {
	t.Helper()
	h, err := handler.Batch(b, c)
	require.NoError(t, err)
	return h
}

// handleAll calls the handler with all messages at the same time and returns the verdicts
// in the messages' order.
func handleAll(ctx context.Context, h handler.Handler, ms ...*handler.Message) []error {
	errs := make([]error, len(ms))
	var calls sync.WaitGroup
	for i, m := range ms {
		calls.Go(func() { errs[i] = h.Handle(ctx, m) })
	}
	calls.Wait()
	return errs
}

func messages(n int) []*handler.Message {
	ms := make([]*handler.Message, n)
	for i := range ms {
		ms[i] = &handler.Message{ID: strconv.Itoa(i)}
	}
	return ms
}

func TestBatchesCloseByCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bulk{}
		start := time.Now()
		errs := handleAll(t.Context(), newBatch(t, b, &handler.BatchConfig{MaxCount: 4, MaxWait: time.Hour}), messages(12)...)
		require.Equal(t, make([]error, 12), errs)
		require.Equal(t, []int{4, 4, 4}, b.sizes())
		require.Zero(t, time.Since(start), "a full batch waits for nothing")
	})
}

func TestBatchesCloseByWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bulk{}
		start := time.Now()
		handleAll(t.Context(), newBatch(t, b, nil), messages(7)...)
		require.Equal(t, []int{7}, b.sizes())
		require.Equal(t, 50*time.Millisecond, time.Since(start))
	})
}

func TestBatchesCloseByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bulk{}
		h := newBatch(t, b, &handler.BatchConfig{MaxBytes: 10, MaxWait: time.Second})
		var calls sync.WaitGroup
		for i, size := range []int{6, 4 /* exactly full */, 7, 4 /* begins the next */, 50 /* on its own */, 1} {
			m := &handler.Message{ID: strconv.Itoa(i), Body: make([]byte, size)}
			calls.Go(func() { require.NoError(t, h.Handle(t.Context(), m)) })
			synctest.Wait()
		}
		calls.Wait()
		require.ElementsMatch(t, [][]string{{"0", "1"}, {"2"}, {"3"}, {"4"}, {"5"}}, b.batches)
	})
}

func TestEachCallGetsItsOwnVerdict(t *testing.T) {
	b := &bulk{handle: func(_ context.Context, ms []*handler.Message) []error {
		errs := make([]error, len(ms))
		for i, m := range ms {
			if m.ID != "3" {
				errs[i] = handler.Reject(errors.New(m.ID))
			}
		}
		return errs
	}}
	for i, err := range handleAll(t.Context(), newBatch(t, b, &handler.BatchConfig{MaxCount: 8}), messages(8)...) {
		if i == 3 {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, fmt.Sprintf("rejected: %d", i))
	}
}

func TestAWrongNumberOfVerdictsRetriesAll(t *testing.T) {
	for _, n := range []int{0, 1, 4} {
		b := &bulk{handle: func(context.Context, []*handler.Message) []error { return make([]error, n) }}
		for _, err := range handleAll(t.Context(), newBatch(t, b, &handler.BatchConfig{MaxCount: 3}), messages(3)...) {
			require.ErrorContains(t, err, fmt.Sprintf("%d verdicts for 3 messages", n))
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
		}
	}
}

func TestAPanicInABatchRetriesAll(t *testing.T) {
	b := &bulk{handle: func(context.Context, []*handler.Message) []error { panic(handler.Reject(errBoom)) }}
	for _, err := range handleAll(t.Context(), newBatch(t, b, &handler.BatchConfig{MaxCount: 3}), messages(3)...) {
		var p *handler.PanicError
		require.ErrorAs(t, err, &p)
		require.Contains(t, string(p.Stack), "TestAPanicInABatchRetriesAll")
		require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
	}
}

func TestABatchHandlerThatEndsItsGoroutineRetriesAll(t *testing.T) {
	b := &bulk{handle: func(context.Context, []*handler.Message) []error { runtime.Goexit(); return nil }}
	for _, err := range handleAll(t.Context(), newBatch(t, b, &handler.BatchConfig{MaxCount: 3}), messages(3)...) {
		require.ErrorContains(t, err, "Goexit")
	}
}

func TestACallLeavesABatchThatGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bulk{}
		h := newBatch(t, b, &handler.BatchConfig{MaxWait: time.Minute, MaxBytes: 100})
		lost, lose := context.WithCancelCause(t.Context())
		var left error
		var calls sync.WaitGroup
		calls.Go(func() { left = h.Handle(lost, &handler.Message{ID: "lost", Body: make([]byte, 99)}) })
		calls.Go(func() { require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "a"})) })
		synctest.Wait()
		lose(handler.ErrLeaseLost)
		synctest.Wait()
		require.ErrorIs(t, left, handler.ErrLeaseLost)
		// Its bytes left with it.
		calls.Go(func() { require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "b", Body: make([]byte, 50)})) })
		calls.Wait()
		require.Equal(t, []int{2}, b.sizes())
		require.ErrorIs(t, h.Handle(lost, &handler.Message{}), handler.ErrLeaseLost)
	})
}

func TestTheLastCallToLeaveEndsTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bulk{}
		h := newBatch(t, b, &handler.BatchConfig{MaxWait: time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- h.Handle(ctx, &handler.Message{}) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		<-time.After(time.Minute)
		require.Empty(t, b.sizes())
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}), "the next batch is not disturbed")
	})
}

func TestABatchRunsOnUntilNoneOfItsCallsIsLeft(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		b := &bulk{handle: func(ctx context.Context, ms []*handler.Message) []error {
			require.Equal(t, "value", ctx.Value(key{}))
			_, limited := ctx.Deadline()
			require.False(t, limited)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return []error{ctx.Err(), nil}
		}}
		h := newBatch(t, b, &handler.BatchConfig{MaxCount: 2})
		first, loseFirst := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		second, stop := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		errs := make([]error, 2)
		var calls sync.WaitGroup
		calls.Go(func() { errs[0] = h.Handle(first, &handler.Message{ID: "0"}) })
		synctest.Wait()
		calls.Go(func() { errs[1] = h.Handle(second, &handler.Message{ID: "1"}) })
		synctest.Wait()
		loseFirst(handler.ErrLeaseLost)
		synctest.Wait()
		require.Empty(t, ended, "one lost lease ended the work on the other message")
		stop(handler.ErrStopped)
		calls.Wait()
		require.ErrorIs(t, <-ended, handler.ErrStopped)
		require.ErrorIs(t, errs[0], context.Canceled)
		require.NoError(t, errs[1], "the work was done all the same")
	})
}

func TestBatchRefusesNonsense(t *testing.T) {
	_, err := handler.Batch(nil, nil)
	require.ErrorContains(t, err, "handler is nil")
	_, err = handler.Batch(&bulk{}, &handler.BatchConfig{MaxCount: -1, MaxBytes: -1, MaxWait: -1})
	for _, name := range []string{"MaxCount", "MaxBytes", "MaxWait"} {
		require.ErrorContains(t, err, name)
	}
}

func TestManyCallsAllGetAnAnswer(t *testing.T) {
	b := &bulk{handle: func(_ context.Context, ms []*handler.Message) []error {
		errs := make([]error, len(ms))
		for i, m := range ms {
			errs[i] = errors.New(m.ID)
		}
		return errs
	}}
	h := newBatch(t, b, &handler.BatchConfig{MaxCount: 7, MaxBytes: 64, MaxWait: time.Millisecond})
	var calls sync.WaitGroup
	for w := range 32 {
		calls.Go(func() {
			for i := range 100 {
				id := fmt.Sprintf("%d/%d", w, i)
				ctx, cancel := context.WithCancel(t.Context())
				if i%10 == 0 {
					go cancel()
				}
				err := h.Handle(ctx, &handler.Message{ID: id, Body: make([]byte, i)})
				if !errors.Is(err, context.Canceled) {
					require.EqualError(t, err, id)
				}
				cancel()
			}
		})
	}
	calls.Wait()
}

func BenchmarkBatch(b *testing.B) {
	h := newBatch(b, handler.BatchHandlerFunc(func(context.Context, []*handler.Message) []error { return nil }),
		&handler.BatchConfig{MaxCount: 32})
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		m := &handler.Message{Body: make([]byte, 256)}
		for pb.Next() {
			if err := h.Handle(context.Background(), m); err != nil {
				b.Error(err)
			}
		}
	})
}

// A message at which the handler panics does not take the others of its batch along:
// those that were with it are postponed, and each is handled alone the next time.
func TestABadMessageIsHandledAlone(t *testing.T) {
	faults := map[string]func(n int) []error{
		"panic":        func(int) []error { panic("poison") },
		"Goexit":       func(int) []error { runtime.Goexit(); return nil },
		"wrong length": func(n int) []error { return make([]error, n+1) },
	}
	for name, fault := range faults {
		for _, c := range []struct {
			name      string
			leased    bool
			ids       bool
			postponed bool
			sizes     []int // of all batches
		}{
			{"with a lease", true, true, true, []int{1, 1, 1, 1, 1, 3, 4}},
			{"without a lease", false, true, false, []int{1, 1, 1, 1, 1, 3, 4}},
			{"without IDs", true, false, false, []int{4, 4, 4}},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				b := &bulk{handle: func(_ context.Context, ms []*handler.Message) []error {
					for _, m := range ms {
						if string(m.Body) == "poison" {
							return fault(len(ms))
						}
					}
					return nil
				}}
				h := newBatch(t, b, &handler.BatchConfig{MaxCount: 4})
				ms := messages(4)
				ms[2].Body = []byte("poison")
				for _, m := range ms {
					if !c.ids {
						m.ID = ""
					}
					if c.leased {
						m.Bind(&handler.Origin{Queue: "orders"}, endless{})
					}
				}
				for _, err := range handleAll(t.Context(), h, ms...) {
					require.Equal(t, c.postponed, handler.VerdictOf(err).Postponed, err)
					require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
				}
				for i, err := range handleAll(t.Context(), h, ms...) {
					if c.ids && i != 2 {
						require.NoError(t, err)
						continue
					}
					require.Error(t, err)
					require.False(t, handler.VerdictOf(err).Postponed, "the failure of a message that was alone is its own")
				}
				// It stays a suspect, and the others can be in one batch again.
				for i, err := range handleAll(t.Context(), h, ms...) {
					require.Equal(t, !c.ids || i == 2, err != nil)
				}
				require.Equal(t, c.sizes, b.sizes())
			})
		}
	}
}

// endless is a lease that does not end.
type endless struct{ handler.Lease }

func (endless) Deadline() time.Time { return time.Now().Add(time.Hour) }
