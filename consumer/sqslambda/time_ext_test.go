package sqslambda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
)

// invocation is a context as Lambda gives it.
func invocation(t testing.TB, timeout time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func TestHandlersEndBeforeTheInvocationDoes(t *testing.T) {
	for _, c := range []struct{ timeout, margin, want time.Duration }{
		{time.Minute, 0, 59 * time.Second},
		{time.Minute, 10 * time.Second, 50 * time.Second},
		{2 * time.Second, 10 * time.Second, 1500 * time.Millisecond}, // a quarter
		{3 * time.Second, 0, 2250 * time.Millisecond},                // Lambda's own default timeout
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.send(message("slow", ""), message("obstinate", ""))
			e := r.event()
			began := time.Now()
			fn := r.function(func(ctx context.Context, m *handler.Message) error {
				deadline, ok := ctx.Deadline()
				require.True(t, ok)
				require.Equal(t, c.want, deadline.Sub(began))
				<-ctx.Done()
				require.ErrorIs(t, context.Cause(ctx), context.DeadlineExceeded)
				if string(m.Body) == "obstinate" {
					return nil // it is done all the same
				}
				return ctx.Err()
			}, &sqslambda.Config{Margin: c.margin})
			response, err := fn.Handle(invocation(t, c.timeout), e)
			require.NoError(t, err)
			require.Equal(t, []string{"slow"}, failed(t, e, response), "one that returns within the margin counts")
			require.Equal(t, c.want, time.Since(began))
			require.Equal(t, sqslambda.Stats{Counts: handler.Counts{Received: 2, Acked: 1, Retried: 1}, Events: 1}, fn.Stats())
		})
	}
}

// TestAHandlerThatIgnoresItsContext is left behind; what it returns later is
// lost, and is never taken for a success.
func TestAHandlerThatIgnoresItsContext(t *testing.T) {
	for _, late := range []error{nil, errBoom, handler.Reject(errBoom)} {
		for _, fifo := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/fifo=%t", late, fifo), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigOptions{fifo: fifo})
					r.send(message("1", "a"), message("stuck", "b"), message("3", "b"), message("4", "c"))
					e := r.event()
					sends := r.server.Count("SendMessageBatch")
					var text bytes.Buffer
					seen := &history{}
					release := make(chan struct{})
					fn := r.function(func(_ context.Context, m *handler.Message) error {
						if string(m.Body) != "stuck" {
							return nil
						}
						<-release
						m.SetAttribute("late", "yes") // the race detector looks on
						return late
					}, &sqslambda.Config{Observers: []handler.Observer{seen}, Logger: slog.New(slog.NewTextHandler(&text, nil))})
					began := time.Now()
					response, err := fn.Handle(invocation(t, time.Minute), e)
					require.NoError(t, err)
					require.Equal(t, 59*time.Second+500*time.Millisecond, time.Since(began))
					want, stats := []string{"stuck"}, sqslambda.Stats{Counts: handler.Counts{Received: 4, Acked: 3, LeasesLost: 1}, Events: 1}
					if fifo {
						want = []string{"3", "stuck"}
						stats.Acked, stats.Released = 2, 1
					}
					require.Equal(t, want, failed(t, e, response))
					require.Equal(t, stats, fn.Stats())
					require.Contains(t, text.String(), "ignored the end of its context")
					require.Len(t, seen.of(handler.EventLeaseLost), 1)
					require.Empty(t, seen.of(handler.EventLateVerdict))
					require.Zero(t, r.server.Count("ChangeMessageVisibilityBatch"), "what may still be worked on is not given to another at once")

					close(release)
					synctest.Wait()
					stats.Late = 1
					require.Equal(t, stats, fn.Stats())
					require.Contains(t, text.String(), "verdict lost")
					require.Len(t, seen.of(handler.EventLateVerdict), 1)
					require.Len(t, seen.of(handler.EventHandled), seen.kinds()[handler.EventStarted], "a gauge of handlers at work would not come down")
					require.Equal(t, sends, r.server.Count("SendMessageBatch"), "a rejection that came too late was carried out")
				})
			})
		}
	}
}

// TestWhatWasNotStartedGoesBack has more messages than there is time for.
func TestWhatWasNotStartedGoesBack(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		for _, fifo := range []bool{false, true} {
			t.Run(fmt.Sprintf("obeys=%t/fifo=%t", obeys, fifo), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigOptions{fifo: fifo})
					for i := range 8 {
						r.send(message(fmt.Sprint(i), fmt.Sprintf("group-%d", i%2))) // 0, 2, 4, 6 and 1, 3, 5, 7
					}
					e := r.event()
					seen := &history{}
					stop := make(chan struct{})
					fn := r.function(func(ctx context.Context, _ *handler.Message) error {
						done := ctx.Done()
						if !obeys {
							done = nil
						}
						work := time.NewTimer(25 * time.Second)
						defer work.Stop()
						select {
						case <-work.C:
							return nil
						case <-done:
							return handler.RetryAfter(30*time.Second, ctx.Err())
						case <-stop:
							return nil
						}
					}, &sqslambda.Config{Concurrency: 1, Margin: 2 * time.Second, Observers: []handler.Observer{seen}})
					began := time.Now()
					response, err := fn.Handle(invocation(t, time.Minute), e) // two are done, the third is at work
					require.NoError(t, err)
					require.LessOrEqual(t, time.Since(began), 59*time.Second)
					require.Len(t, failed(t, e, response), 6)
					stats := sqslambda.Stats{Counts: handler.Counts{Received: 8, Acked: 2, Released: 5}, Events: 1}
					if obeys {
						stats.Retried = 1
					} else {
						stats.LeasesLost = 1
					}
					require.Equal(t, stats, fn.Stats())
					require.Len(t, seen.of(handler.EventReleased), 5)
					for _, m := range e.Records {
						if !slices.Contains(failed(t, e, response), m.Body) {
							require.NoError(t, deleteMessage(t.Context(), r, m.ReceiptHandle))
						}
					}
					close(stop)
					now := r.receive(r.name)
					if !fifo {
						require.Len(t, now, 5, "what nobody has begun is not visible at once")
						return
					}
					// The other group, whole and in order; the group of the one at work waits for it.
					order := []string{}
					for _, m := range now {
						order = append(order, *m.Body)
					}
					require.Equal(t, []string{"1", "3", "5", "7"}, order)
					back := r.visible(visibility + time.Second)
					for _, body := range []string{"4", "6"} {
						// The delay that it asked for, or what is left of the timeout.
						require.InDelta(t, 30.5, back[body].Seconds(), 1.5, "message %s", body)
					}
				})
			})
		}
	}
}

// A canceled invocation neither waits nor loses anything.
func TestACanceledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		r.send(message("1", ""), message("2", ""))
		e := r.event()
		ctx, cancel := context.WithCancel(t.Context())
		fn := r.function(func(ctx context.Context, m *handler.Message) error {
			cancel()
			<-ctx.Done()
			return handler.RetryAfter(time.Second, errBoom)
		}, nil)
		response, err := fn.Handle(ctx, e)
		require.NoError(t, err)
		require.Len(t, failed(t, e, response), 2)
		require.EqualValues(t, 2, fn.Stats().Retried+fn.Stats().Released, "settling does not end with the context")
	})
}

// TestGroupsOfAFIFOQueue has 10 messages of three groups, of which one fails at
// its second.
func TestGroupsOfAFIFOQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{fifo: true})
		for i := range 10 {
			group := "abc"[i%3 : i%3+1]
			r.send(message(fmt.Sprintf("%s%d", group, i), group))
		}
		e := r.event()
		require.Len(t, e.Records, 10)
		var mu sync.Mutex
		order := map[string][]string{}
		var at, most atomic.Int32
		var running sync.Map
		fn := r.function(func(_ context.Context, m *handler.Message) error {
			_, busy := running.LoadOrStore(m.Group, true)
			require.False(t, busy, "two of a group at a time")
			defer running.Delete(m.Group)
			most.Store(max(most.Load(), at.Add(1)))
			defer at.Add(-1)
			mu.Lock()
			order[m.Group] = append(order[m.Group], string(m.Body))
			mu.Unlock()
			_ = sleep.For(t.Context(), time.Second)
			if string(m.Body) == "b4" {
				return errBoom
			}
			return nil
		}, nil)
		began := time.Now()
		response, err := fn.Handle(invocation(t, time.Minute), e)
		require.NoError(t, err)
		require.Equal(t, []string{"b4", "b7"}, failed(t, e, response))
		require.Equal(t, map[string][]string{"a": {"a0", "a3", "a6", "a9"}, "b": {"b1", "b4"}, "c": {"c2", "c5", "c8"}}, order)
		require.EqualValues(t, 3, most.Load(), "groups are handled at the same time")
		require.Equal(t, 4*time.Second, time.Since(began))
	})
}

// TestFairQueuesAreNotSerial has a group on a standard queue: a tenant, no order.
func TestFairQueuesAreNotSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		for i := range 10 {
			r.send(message(fmt.Sprint(i), "tenant"))
		}
		e := r.event()
		for _, c := range []struct {
			concurrency int
			want        time.Duration
		}{{0, time.Second}, {5, 2 * time.Second}, {1, 10 * time.Second}, {1000, time.Second}} {
			began := time.Now()
			fn := r.function(func(_ context.Context, m *handler.Message) error {
				require.Equal(t, "tenant", m.Group)
				_ = sleep.For(t.Context(), time.Second)
				return nil
			}, &sqslambda.Config{Concurrency: c.concurrency})
			_, err := fn.Handle(invocation(t, time.Minute), e)
			require.NoError(t, err)
			require.Equal(t, c.want, time.Since(began))
		}
	})
}

// TestBatchHandlers gathers the calls of one event.
func TestBatchHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{})
		for i := range 10 {
			r.send(message(fmt.Sprint(i), ""))
		}
		e := r.event()
		var batches [][]string
		h, err := handler.Batch(handler.BatchHandlerFunc(func(_ context.Context, ms []*handler.Message) []error {
			errs, bodies := make([]error, len(ms)), make([]string, len(ms))
			for i, m := range ms {
				if bodies[i] = string(m.Body); bodies[i] == "7" {
					errs[i] = errBoom
				}
			}
			batches = append(batches, bodies)
			return errs
		}), &handler.BatchConfig{MaxCount: 10, MaxWait: time.Second})
		require.NoError(t, err)
		fn, err := sqslambda.New(r.source, h, nil)
		require.NoError(t, err)
		began := time.Now()
		response, err := fn.Handle(invocation(t, time.Minute), e)
		require.NoError(t, err)
		require.Equal(t, []string{"7"}, failed(t, e, response))
		require.Len(t, batches, 1, "the whole event is one batch")
		require.Zero(t, time.Since(began), "a full batch waits for nothing")
	})
}

// TestLoudOnceAMinute has each rejection of a queue without dead-letter queue
// retried, and not each of them logged.
func TestLoudOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOptions{noDLQ: true})
		r.send(message("1", ""), message("2", ""), message("3", ""))
		e := r.event()
		var text bytes.Buffer
		fn := r.function(func(context.Context, *handler.Message) error { return handler.Reject(errors.New("no")) },
			&sqslambda.Config{Logger: slog.New(slog.NewTextHandler(&text, nil))})
		for range 3 {
			response, err := fn.Handle(t.Context(), e)
			require.NoError(t, err)
			require.Len(t, failed(t, e, response), 3)
			_ = sleep.For(t.Context(), 40*time.Second)
		}
		require.Equal(t, 2, bytes.Count(text.Bytes(), []byte("no dead-letter queue")))
		require.Contains(t, text.String(), "not_logged=5")
	})
}

// TestDelaysAreSetInFewRequests has an event larger than a request, as a mapping
// with a batching window makes them.
func TestDelaysAreSetInFewRequests(t *testing.T) {
	r := newRig(t, rigOptions{})
	var e events.SQSEvent
	for range 5 {
		for i := range 10 {
			r.send(message(fmt.Sprint(i), ""))
		}
		e.Records = append(e.Records, r.event().Records...)
	}
	require.Len(t, e.Records, 50)
	fn := r.function(func(context.Context, *handler.Message) error { return handler.RetryAfter(time.Minute, errBoom) }, nil)
	response, err := fn.Handle(t.Context(), e)
	require.NoError(t, err)
	require.Len(t, response.BatchItemFailures, 50)
	require.EqualValues(t, 50, fn.Stats().Retried)
	require.Equal(t, 5, r.server.Count("ChangeMessageVisibilityBatch"))
}
