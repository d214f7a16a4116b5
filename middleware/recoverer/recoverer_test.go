package recoverer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/recoverer"
)

var errBoom = errors.New("boom")

func explode(value any) handler.Handler {
	return handler.HandlerFunc(func(context.Context, *handler.Message) error { panic(value) })
}

func TestAPanicBecomesAnError(t *testing.T) {
	for name, value := range map[string]any{"text": "no such index", "error": errBoom, "verdict": handler.Reject(errBoom)} {
		t.Run(name, func(t *testing.T) {
			err := recoverer.New(nil)(explode(value)).Handle(t.Context(), &handler.Message{})
			var p *handler.PanicError
			require.ErrorAs(t, err, &p)
			require.Equal(t, value, p.Value)
			require.Contains(t, string(p.Stack), "explode", "the stack shows where the panic was")
			require.Equal(t, handler.Verdict{Err: err}, handler.VerdictOf(err), "a panic is a plain retry")
		})
	}
}

func TestVerdictsPass(t *testing.T) {
	for _, want := range []error{nil, errBoom, handler.Reject(errBoom)} {
		h := recoverer.New(nil)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return want }))
		require.Equal(t, want, h.Handle(t.Context(), &handler.Message{}))
	}
}

func TestPanicsAreReported(t *testing.T) {
	var out bytes.Buffer
	var told *handler.PanicError
	mw := recoverer.New(&recoverer.Config{
		Logger: slog.New(slog.NewTextHandler(&out, nil)),
		OnPanic: func(_ context.Context, m *handler.Message, p *handler.PanicError) {
			require.Equal(t, "m1", m.ID)
			told = p
		},
	})
	m := &handler.Message{ID: "m1", Attempt: 3, Body: []byte("secret")}
	m.Bind(&handler.Origin{Queue: "orders"}, nil)
	err := mw(explode("boom")).Handle(t.Context(), m)
	require.Same(t, told, err)
	for _, want := range []string{"level=ERROR", "queue=orders", "message_id=m1", "attempt=3", `error="panic: boom"`, "recoverer_test.go"} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "secret")
}

func BenchmarkRecoverer(b *testing.B) {
	h := recoverer.New(nil)(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	m := &handler.Message{}
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Handle(context.Background(), m)
	}
}
