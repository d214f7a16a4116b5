package route_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/route"
)

func says(text string) handler.Handler {
	return handler.HandlerFunc(func(context.Context, *handler.Message) error { return handler.Drop(errors.New(text)) })
}

func message(kind string) *handler.Message {
	return &handler.Message{Attributes: map[string]string{"type": kind}}
}

func newRouter(t *testing.T, config *route.Config) *route.Router {
	t.Helper()
	r, err := route.New(config)
	require.NoError(t, err)
	return r
}

func TestAMessageGoesToTheHandlerOfItsKind(t *testing.T) {
	t.Parallel()
	r := newRouter(t, nil)
	require.NoError(t, r.Add("resize", says("resized"), nil))
	require.NoError(t, r.Add("mail", says("mailed"), &route.Options{}))
	require.EqualError(t, r.Handle(t.Context(), message("resize")), "dropped: resized")
	require.EqualError(t, r.Handle(t.Context(), message("mail")), "dropped: mailed")
	require.Equal(t, []string{"mail", "resize"}, r.Kinds())
	require.Equal(t, "mail", r.Label(message("mail")))
	require.Equal(t, route.Unknown, r.Label(message("forged")))
}

func TestKindsByAFunction(t *testing.T) {
	t.Parallel()
	r := newRouter(t, &route.Config{Kind: func(m *handler.Message) string {
		kind, _, _ := strings.Cut(string(m.Body), " ")
		return kind
	}})
	require.NoError(t, r.Add("resize", says("resized"), nil))
	require.EqualError(t, r.Handle(t.Context(), &handler.Message{Body: []byte("resize 3")}), "dropped: resized")
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	r := newRouter(t, nil)
	require.NoError(t, r.Add("resize", says(""), nil))
	batch, err := handler.Batch(handler.BatchHandlerFunc(func(context.Context, []*handler.Message) []error { return nil }), nil)
	require.NoError(t, err)
	single := handler.Singly(func(h handler.Handler) handler.Handler { return h }, errors.New("one transaction a message"))
	for _, c := range []struct {
		kind string
		h    handler.Handler
		o    *route.Options
		want string
	}{
		{"", says(""), nil, "route: the kind is empty"},
		{"resize", says(""), nil, `route: kind "resize" was added twice`},
		{"mail", nil, nil, `route: kind "mail": the handler is nil`},
		{"mail", says(""), &route.Options{Timeout: -1}, `route: kind "mail": Timeout is -1ns: it must not be negative`},
		{"mail", batch, &route.Options{Middleware: []handler.Middleware{single}}, `route: kind "mail": one transaction a message`},
	} {
		require.EqualError(t, r.Add(c.kind, c.h, c.o), c.want)
	}
	require.Equal(t, []string{"resize"}, r.Kinds())
}

func TestOptionsAreOfOneKind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRouter(t, nil)
		slow := handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		var order []string
		note := func(name string) handler.Middleware {
			return func(next handler.Handler) handler.Handler {
				return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
					order = append(order, name)
					return next.Handle(ctx, m)
				})
			}
		}
		require.NoError(t, r.Add("slow", slow, &route.Options{Timeout: time.Minute, Middleware: []handler.Middleware{note("outer"), note("inner")}}))
		require.NoError(t, r.Add("mail", says("mailed"), nil))
		began := time.Now()
		require.ErrorIs(t, r.Handle(t.Context(), message("slow")), context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		require.EqualError(t, r.Handle(t.Context(), message("mail")), "dropped: mailed")
		require.Equal(t, []string{"outer", "inner"}, order)
	})
}

type gated struct{ handler.Handler }

func (gated) Gate() handler.Gate { return open{} }

type open struct{}

func (open) Admit(n int) (int, <-chan struct{}) { return n, nil }

func TestGatesOfKinds(t *testing.T) {
	t.Parallel()
	r := newRouter(t, nil)
	require.Empty(t, r.Gates())
	offers := func(h handler.Handler) handler.Handler { return gated{h} }
	require.NoError(t, r.Add("mail", says(""), &route.Options{Middleware: []handler.Middleware{offers}}))
	require.Equal(t, []handler.Gate{open{}}, r.Gates())
}

// An unknown kind waits for its grace period, and is rejected then.
func TestUnknownKinds(t *testing.T) {
	t.Parallel()
	const grace = 10 * time.Minute
	for name, c := range map[string]struct {
		config   *route.Config
		message  func(now time.Time) *handler.Message
		rejected time.Duration // after the first try
		text     string
	}{
		"enqueued now":          {nil, func(now time.Time) *handler.Message { return at(message("new"), now) }, grace, `rejected: no handler for kind "new"`},
		"waited in the queue":   {nil, func(now time.Time) *handler.Message { return at(message("new"), now.Add(-time.Hour)) }, grace, `rejected: no handler for kind "new"`},
		"no enqueue time":       {nil, func(time.Time) *handler.Message { return message("new") }, grace, `rejected: no handler for kind "new"`},
		"the clock is ahead":    {nil, func(now time.Time) *handler.Message { return at(message("new"), now.Add(time.Hour)) }, grace + time.Hour, `rejected: no handler for kind "new"`},
		"no kind":               {nil, func(now time.Time) *handler.Message { return at(&handler.Message{}, now) }, grace, "rejected: no handler for a message without a kind"},
		"a grace of its own":    {&route.Config{Grace: time.Second}, func(now time.Time) *handler.Message { return at(message("new"), now) }, time.Second, `rejected: no handler for kind "new"`},
		"no grace":              {&route.Config{Grace: -1}, func(now time.Time) *handler.Message { return at(message("new"), now) }, 0, `rejected: no handler for kind "new"`},
		"a kind of any length":  {&route.Config{Grace: -1}, func(time.Time) *handler.Message { return message(strings.Repeat("k", 1000)) }, 0, `rejected: no handler for kind "` + strings.Repeat("k", 100) + `"`},
		"a kind that is quoted": {&route.Config{Grace: -1}, func(time.Time) *handler.Message { return message("a\nb") }, 0, `rejected: no handler for kind "a\nb"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRouter(t, c.config)
				require.NoError(t, r.Add("old", says(""), nil))
				began := time.Now()
				m := c.message(began)
				for tries := 0; ; tries++ {
					require.Less(t, tries, 200, "it is postponed for too short a time")
					err := r.Handle(t.Context(), m)
					require.ErrorIs(t, err, route.ErrKind)
					v := handler.VerdictOf(err)
					if v.Action == handler.ActionDeadLetter {
						require.EqualError(t, err, c.text)
						break
					}
					require.True(t, v.Postponed, "it spends no attempt")
					require.Positive(t, v.Delay)
					time.Sleep(v.Delay) //nolint:forbidigo // virtual time
				}
				require.Equal(t, c.rejected, time.Since(began))
			})
		})
	}
}

func at(m *handler.Message, enqueued time.Time) *handler.Message {
	m.EnqueuedAt = enqueued
	return m
}

// A kind that was unknown long ago, and is again when a new version is deployed
// and rolled back, has its grace period again.
func TestGraceIsOfEachMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRouter(t, nil)
		require.Equal(t, handler.ActionRetry, handler.VerdictOf(r.Handle(t.Context(), at(message("new"), time.Now()))).Action)
		time.Sleep(24 * time.Hour) //nolint:forbidigo // virtual time
		require.Equal(t, handler.ActionRetry, handler.VerdictOf(r.Handle(t.Context(), at(message("new"), time.Now()))).Action)
		require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(r.Handle(t.Context(), at(message("new"), time.Now().Add(-time.Hour)))).Action)
	})
}

// Senders choose kinds: however many they make up, a message without an enqueue
// time is rejected in the end.
func TestManyUnknownKinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRouter(t, nil)
		for i := range 2000 {
			_ = r.Handle(t.Context(), message(fmt.Sprint("forged-", i))) // fills what is remembered
		}
		require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(r.Handle(t.Context(), message("one more"))).Action)
		require.Equal(t, handler.ActionRetry, handler.VerdictOf(r.Handle(t.Context(), at(message("one more"), time.Now()))).Action)
		require.Equal(t, route.Unknown, r.Label(message("one more")))
	})
}

func TestUnknownKindsAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := newRouter(t, &route.Config{Logger: slog.New(slog.NewTextHandler(&out, nil))})
		for range 3 {
			_ = r.Handle(t.Context(), message("new")) // only what is logged matters
		}
		time.Sleep(time.Minute) //nolint:forbidigo // virtual time
		_ = r.Handle(t.Context(), message("new"))
		require.Equal(t, 2, strings.Count(out.String(), "no handler for this kind"))
		require.Contains(t, out.String(), "kind=new")
		require.Contains(t, out.String(), "grace_left=10m0s others=0")
		require.Contains(t, out.String(), "grace_left=9m0s others=2")
	})
}

func TestRoutingAllocatesNothing(t *testing.T) {
	r := newRouter(t, nil)
	require.NoError(t, r.Add("mail", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), nil))
	m, ctx := message("mail"), t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = r.Handle(ctx, m) }))
}

func BenchmarkRouter(b *testing.B) {
	r, err := route.New(nil)
	require.NoError(b, err)
	for i := range 10 {
		require.NoError(b, r.Add(fmt.Sprint("kind", i), handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), nil))
	}
	m, ctx := message("kind7"), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Handle(ctx, m)
	}
}
