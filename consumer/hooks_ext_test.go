package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/broken"
)

// failures returns the ways in which user code fails.
func failures() map[string]func() {
	all := broken.Ways()
	all["verdict"] = func() { panic(handler.Drop(nil)) }
	all["runtime"] = func() { var e *broken.TypedNil; _ = e.Error() }
	return all
}

// failing fails as an observer, a gate, a logger and a value in an error's text.
type failing struct {
	slog.Handler
	kind handler.EventKind
	fail func()
	off  atomic.Bool
}

func (o *failing) Observe(e handler.Event) {
	if e.Kind == o.kind {
		o.fail()
	}
}

func (o *failing) Admit(n int) (int, <-chan struct{}) {
	if !o.off.Load() {
		o.fail()
	}
	return n, nil
}

func (o *failing) Reason() string                            { o.fail(); return "" }
func (o *failing) Enabled(context.Context, slog.Level) bool  { o.fail(); return true }
func (o *failing) Handle(context.Context, slog.Record) error { o.fail(); return nil }

// batchOf returns a batch handler as a handler.
func batchOf(t *testing.T, h handler.BatchHandlerFunc) handler.HandlerFunc {
	t.Helper()
	b, err := handler.Batch(h, &handler.BatchConfig{MaxCount: 2})
	require.NoError(t, err)
	return b.Handle
}

// When user code fails, in any way, the consumer handles the other messages, keeps
// the lease of one that takes longer than it lasts, and drains.
func TestUserCodeThatFails(t *testing.T) {
	for hook, set := range map[string]func(cfg *consumer.Config, f *failing) handler.HandlerFunc{
		"handler": func(_ *consumer.Config, f *failing) handler.HandlerFunc {
			return func(context.Context, *handler.Message) error { f.fail(); return nil }
		},
		"batch handler": func(_ *consumer.Config, f *failing) handler.HandlerFunc {
			return batchOf(t, func(context.Context, []*handler.Message) []error { f.fail(); return nil })
		},
		"on extend": func(_ *consumer.Config, f *failing) handler.HandlerFunc {
			return func(ctx context.Context, m *handler.Message) error {
				m.Lease().OnExtend(func(time.Time) { f.fail() })
				err := m.Lease().Extend(ctx, time.Minute)
				<-time.After(time.Second) // the function is called meanwhile
				return err
			}
		},
		"decode": func(_ *consumer.Config, f *failing) handler.HandlerFunc {
			return handler.Typed(failingCodec{f.fail}, func(context.Context, *handler.Message, int) error { return nil }).Handle
		},
		"error": func(_ *consumer.Config, f *failing) handler.HandlerFunc {
			return func(context.Context, *handler.Message) error { return failingError{f.fail} }
		},
		"rejection": func(_ *consumer.Config, f *failing) handler.HandlerFunc {
			return func(context.Context, *handler.Message) error { return handler.Reject(failingError{f.fail}) }
		},
		"drop": func(_ *consumer.Config, f *failing) handler.HandlerFunc {
			return func(context.Context, *handler.Message) error { return handler.Drop(failingError{f.fail}) }
		},
		"gate": func(cfg *consumer.Config, f *failing) handler.HandlerFunc {
			cfg.Gates = []handler.Gate{f}
			time.AfterFunc(5*time.Second, func() { f.off.Store(true) })
			return ack
		},
		"logger": func(cfg *consumer.Config, f *failing) handler.HandlerFunc {
			cfg.Logger = slog.New(f)
			return func(context.Context, *handler.Message) error { panic("logged") }
		},
	} {
		for name, fail := range failures() {
			t.Run(hook+"/"+name, func(t *testing.T) { survives(t, fail, 0, set) })
		}
	}
	for kind := handler.EventReceived; kind <= handler.EventReleased; kind++ {
		for name, fail := range failures() {
			t.Run(fmt.Sprintf("observer of %d/%s", kind, name), func(t *testing.T) {
				survives(t, fail, kind, func(cfg *consumer.Config, f *failing) handler.HandlerFunc {
					cfg.Observers = []handler.Observer{f}
					return func(ctx context.Context, m *handler.Message) error {
						_ = m.Lease().Extend(ctx, time.Minute)
						return nil
					}
				})
			})
		}
	}
}

// survives runs a consumer whose user code fails on two messages of four.
func survives(t *testing.T, fail func(), kind handler.EventKind, set func(*consumer.Config, *failing) handler.HandlerFunc) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(4)
		f := &failing{kind: kind, fail: fail, Handler: slog.DiscardHandler}
		cfg := &consumer.Config{}
		faulty := set(cfg, f)
		if cfg.Logger == nil {
			cfg.Logger = slog.New(slog.DiscardHandler)
		}
		watch := &events{}
		cfg.Observers = append(cfg.Observers, watch)
		c, err := consumer.New(q, handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			switch {
			case m.Attempt > 1:
				return nil
			case m.ID == "m1" || m.ID == "m2":
				return faulty(ctx, m)
			case m.ID == "m3":
				return keeping(handler.KeepOptions{}, lasting(50*time.Second))(ctx, m)
			default:
				return nil
			}
		}), cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		pass(40 * time.Second)
		s := c.Stats()
		require.GreaterOrEqual(t, s.Acked+s.DeadLettered+s.Dropped, uint64(3), "%+v", s)
		require.Equal(t, 1, s.Running, "%+v", s)
		require.Positive(t, s.Extended)
		_ = c.Health()
		began := time.Now()
		cancel()
		require.NoError(t, <-done)
		require.InDelta(t, 10, time.Since(began).Seconds(), 6, "it waited for the handler that was running")
		s = c.Stats()
		require.Zero(t, s.LeasesLost)
		require.EqualValues(t, 4, s.Acked+s.DeadLettered+s.Dropped, "%+v", s)
		require.NotEmpty(t, watch.of(handler.EventSettled), "the other observers still get the events")
		q.locked(func() {
			for _, l := range q.letters {
				require.NotEmpty(t, l.Failure.Reason)
			}
		})
	})
}

// An observer that ends the goroutine of each handler, before it or after it, misses its
// events. Each handler runs once, and its verdict is carried out.
func TestAnObserverEndsNoHandler(t *testing.T) {
	verdicts := map[string]func() error{
		"m1": func() error { return nil },
		"m2": func() error { return errors.New("boom") },
		"m3": func() error { return handler.Reject(errors.New("bad")) },
		"m4": func() error { return handler.Drop(errors.New("old")) },
		"m5": func() error { return handler.Postpone(time.Hour, nil) },
		"m6": func() error { runtime.Goexit(); return nil },
		"m7": func() error { panic("boom") },
	}
	for _, kind := range []handler.EventKind{handler.EventStarted, handler.EventHandled} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(len(verdicts))
				var runs order
				watch := &events{}
				w := start(t, q, func(_ context.Context, m *handler.Message) error {
					runs.add(m.ID)
					return verdicts[m.ID]()
				}, consumer.Config{Concurrency: 2, Logger: slog.New(slog.DiscardHandler), Observers: []handler.Observer{
					&failing{kind: kind, fail: runtime.Goexit}, watch,
				}})
				pass(500 * time.Millisecond)
				require.Len(t, runs.all(), len(verdicts), "%v", runs.all())
				require.Len(t, watch.of(handler.EventStarted), len(verdicts))
				require.Len(t, watch.of(handler.EventHandled), len(verdicts))
				s := w.c.Stats()
				require.EqualValues(t, 1, s.Acked)
				require.EqualValues(t, 3, s.Retried)
				require.EqualValues(t, 1, s.DeadLettered)
				require.EqualValues(t, 1, s.Dropped)
				require.EqualValues(t, 1, s.Postponed)
				require.Zero(t, s.Running)
				require.NoError(t, w.stop())
			})
		})
	}
}

type failingCodec struct{ fail func() }

func (c failingCodec) Encode(*handler.Message, any) error { c.fail(); return nil }
func (c failingCodec) Decode(*handler.Message, any) error { c.fail(); return nil }

type failingError struct{ fail func() }

func (e failingError) Error() string  { e.fail(); return "" }
func (e failingError) Unwrap() error  { e.fail(); return nil }
func (e failingError) Is(error) bool  { e.fail(); return true }
func (e failingError) As(any) bool    { e.fail(); return true }
func (e failingError) String() string { e.fail(); return "" }
func (e failingError) LogValue() slog.Value {
	e.fail()
	return slog.Value{}
}

func TestATypedNilIsAnErrorLikeAnyOther(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		action handler.Action
		reason string
	}{
		{"returned", (*broken.TypedNil)(nil), handler.ActionRetry, ""},
		{"wrapped", fmt.Errorf("order 7: %w", error((*broken.TypedNil)(nil))), handler.ActionRetry, ""},
		{"joined", errors.Join(errors.New("a"), (*broken.TypedNil)(nil)), handler.ActionRetry, ""},
		{"rejected", handler.Reject((*broken.TypedNil)(nil)), handler.ActionDeadLetter, "*broken.TypedNil"},
		{"dropped", handler.Drop((*broken.TypedNil)(nil)), handler.ActionDrop, ""},
		{"retried", handler.RetryAfter(time.Second, (*broken.TypedNil)(nil)), handler.ActionRetry, ""},
		{"rejected, ends its goroutine", handler.Reject(broken.Error{Fail: runtime.Goexit}), handler.ActionDeadLetter, "broken.Error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1)
				w := start(t, q, func(_ context.Context, m *handler.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					return c.err
				}, consumer.Config{})
				pass(time.Second)
				require.Equal(t, c.action, q.settles[0][0].Action)
				if c.action == handler.ActionDeadLetter {
					require.Contains(t, q.letters[0].Failure.Reason, c.reason)
				}
				require.NoError(t, w.stop())
				require.Zero(t, w.c.Stats().Panics, "the handler itself did not panic")
			})
		})
	}
}

func TestABatchHandlersFaultIsLoggedOnce(t *testing.T) {
	for _, c := range []struct {
		name, log string
		h         handler.BatchHandlerFunc
		stack     int
	}{
		{"panic", "boom", func(context.Context, []*handler.Message) []error { panic("boom") }, 1},
		{"goexit", "Goexit", func(context.Context, []*handler.Message) []error { runtime.Goexit(); return nil }, 0},
		{"wrong length", "1 verdicts for 3 messages", func(context.Context, []*handler.Message) []error { return []error{nil} }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(3)
				together := func(ctx context.Context, ms []*handler.Message) []error {
					if len(ms) == 1 {
						return nil
					}
					return c.h(ctx, ms)
				}
				b, err := handler.Batch(handler.BatchHandlerFunc(together), &handler.BatchConfig{MaxCount: 3})
				require.NoError(t, err)
				w := start(t, q, b.Handle, consumer.Config{})
				pass(time.Second)
				require.Equal(t, 1, w.logs.count(c.log), "once, not once a message")
				require.Equal(t, c.stack, w.logs.count("hooks_ext_test.go"), "with the stack")
				s := w.c.Stats()
				require.EqualValues(t, 1, s.Panics)
				require.Len(t, w.events.of(handler.EventHandled), 6)
				require.Equal(t, []int{3, 3, 3}, []int{int(s.Received), int(s.Postponed), int(s.Acked)}, "each was handled alone then")
				require.NoError(t, w.stop())
			})
		})
	}
}

// A gate that fails counts as closed, since what it guards may be down. It is asked again.
func TestAGateThatPanicsIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		g := &failing{fail: func() { panic("boom") }}
		w := start(t, q, ack, consumer.Config{Gates: []handler.Gate{g}})
		pass(30 * time.Second)
		receives, _, _ := q.requests()
		require.Zero(t, receives)
		require.GreaterOrEqual(t, w.c.Stats().HookFailures, uint64(25))
		require.Equal(t, 1, w.logs.count("a gate failed"), "once a minute")
		require.Equal(t, 1, w.logs.count("hooks_ext_test.go"), "with the stack")
		g.off.Store(true)
		pass(2 * time.Second)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.NoError(t, w.stop())
	})
}

// An observer may ask the consumer that calls it: it is called under no lock.
func TestHooksMayAskTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		var down atomic.Bool
		q.onReceive = func(int) error {
			if down.Load() {
				return fault(drivers.Transient)
			}
			return nil
		}
		a := &asking{Handler: slog.DiscardHandler}
		c, err := consumer.New(q, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			if m.ID == "m1" && m.Attempt == 1 {
				return handler.Reject(errors.New("bad"))
			}
			return nil
		}), &consumer.Config{Observers: []handler.Observer{a}, Gates: []handler.Gate{a}, Logger: slog.New(a)})
		require.NoError(t, err)
		a.c.Store(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		pass(time.Second)
		down.Store(true)
		pass(time.Minute)
		down.Store(false)
		pass(time.Minute)
		require.EqualValues(t, 2, c.Stats().Acked)
		require.Positive(t, a.records.Load())
		cancel()
		require.NoError(t, <-done)
	})
}

type asking struct {
	slog.Handler
	c       atomic.Pointer[consumer.Consumer]
	records atomic.Int64
}

func (a *asking) ask() {
	if c := a.c.Load(); c != nil {
		_ = c.Stats()
		_ = c.Health()
	}
}

func (a *asking) Observe(handler.Event)                     { a.ask() }
func (a *asking) Admit(n int) (int, <-chan struct{})        { a.ask(); return n, nil }
func (a *asking) Enabled(context.Context, slog.Level) bool  { a.ask(); return true }
func (a *asking) Handle(context.Context, slog.Record) error { a.records.Add(1); a.ask(); return nil }
