package handler_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

type valueKey string

func TestAValueOfOneMessageDoesNotReachABatch(t *testing.T) {
	shared := []string{"shared"} // it can't be compared
	for name, tc := range map[string]struct {
		run    bool // the contexts come from a run's
		values []any
		want   any
	}{
		"each its own":                    {true, []any{"a", "b"}, nil},
		"the first alone":                 {true, []any{"a", nil}, nil},
		"the second alone":                {true, []any{nil, "b"}, nil},
		"equal, but of messages":          {true, []any{"a", "a"}, nil},
		"one message":                     {true, []any{"a"}, nil},
		"without a runtime":               {false, []any{"a", "b"}, nil},
		"one message, without a runtime":  {false, []any{"a"}, nil},
		"equal, without a runtime":        {false, []any{"a", "a"}, "a"},
		"not comparable":                  {false, []any{shared, shared}, nil},
		"of two types, without a runtime": {false, []any{"a", valueKey("a")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := context.WithValue(t.Context(), valueKey("run"), "r")
				if tc.run {
					base = handler.WithShared(base)
				}
				calls := 0
				h := newBatch(t, handler.BatchHandlerFunc(func(ctx context.Context, ms []*handler.Message) []error {
					calls += len(ms)
					require.Equal(t, tc.want, ctx.Value(valueKey("message")))
					if tc.run {
						require.Equal(t, "r", ctx.Value(valueKey("run")), "what the run's context has")
					}
					for _, m := range ms {
						require.Equal(t, m.ID, handler.MessageContext(ctx, m).Value(valueKey("id")))
					}
					other := &handler.Message{}
					require.Equal(t, ctx, handler.MessageContext(ctx, other))
					return nil
				}), &handler.BatchConfig{MaxCount: len(tc.values)})
				done := make(chan error, len(tc.values))
				for i, v := range tc.values {
					m := messages(len(tc.values))[i]
					ctx := context.WithValue(base, valueKey("id"), m.ID)
					if v != nil {
						ctx = context.WithValue(ctx, valueKey("message"), v)
					}
					go func() { done <- h.Handle(ctx, m) }()
					synctest.Wait()
				}
				for range tc.values {
					require.NoError(t, <-done)
				}
				require.Equal(t, len(tc.values), calls)
			})
		})
	}
}

func TestWhatABatchCantHaveIsRefusedWhenItIsBuilt(t *testing.T) {
	reason := errors.New("no transaction in a batch: handle messages singly")
	ran := 0
	singly := handler.Singly(func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			ran++
			return next.Handle(context.WithValue(ctx, valueKey("tx"), ran), m)
		})
	}, reason)
	plain := func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error { return next.Handle(ctx, m) })
	}
	batch := newBatch(t, handler.BatchHandlerFunc(func(context.Context, []*handler.Message) []error {
		t.Error("the batch handler ran")
		return nil
	}), &handler.BatchConfig{MaxCount: 1})

	for name, h := range map[string]handler.Handler{
		"directly":                   singly(batch),
		"in a chain":                 handler.Chain(batch, plain, singly, nil, plain),
		"in a chain of a chain":      handler.Chain(handler.Chain(batch, plain), plain, singly),
		"around one that is refused": handler.Chain(singly(batch), plain),
		"twice":                      singly(singly(batch)),
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, reason, handler.Check(h))
			v := handler.VerdictOf(h.Handle(t.Context(), &handler.Message{}))
			require.True(t, v.Postponed, "a runtime that does not ask")
		})
	}
	require.Zero(t, ran)

	hidden := singly(plain(batch))
	require.NoError(t, handler.Check(hidden), "it can't be seen")
	err := hidden.Handle(t.Context(), &handler.Message{})
	require.ErrorContains(t, err, reason.Error())
	require.True(t, handler.VerdictOf(err).Postponed)

	single := handler.Chain(handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		require.NotNil(t, ctx.Value(valueKey("tx")))
		return nil
	}), singly)
	require.NoError(t, handler.Check(single))
	require.NoError(t, single.Handle(t.Context(), &handler.Message{}))
	require.NoError(t, handler.Check(handler.Chain(batch, plain)))
	require.Error(t, handler.Check(nil))
}
