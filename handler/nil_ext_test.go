package handler_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// A nil function fails when the handler is built into something, not at the first
// message.
func TestANilHandlerIsRefused(t *testing.T) {
	t.Parallel()
	pass := func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error { return next.Handle(ctx, m) })
	}
	lost := func(handler.Handler) handler.Handler { return nil }
	good := handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil })
	for name, h := range map[string]handler.Handler{
		"nil":                     nil,
		"nil function":            handler.HandlerFunc(nil),
		"nil typed function":      handler.Typed[int](nil, nil),
		"nil in a chain":          handler.Chain(nil, pass),
		"nil typed in a chain":    handler.Chain(handler.Typed[int](nil, nil), pass, pass),
		"nil func in a chain":     handler.Chain(handler.HandlerFunc(nil), pass),
		"middleware gives nil":    handler.Chain(good, lost),
		"middleware gave nil":     handler.Chain(good, pass, lost),
		"nil inside a middleware": handler.Chain(handler.Chain(nil, pass), pass),
	} {
		require.ErrorContains(t, handler.Check(h), "is nil", name)
	}
	require.NoError(t, handler.Check(good))
	require.NoError(t, handler.Check(handler.Chain(good, pass)))
	_, err := handler.Batch(handler.BatchHandlerFunc(nil), nil)
	require.ErrorContains(t, err, "the handler is nil")
	require.ErrorIs(t, handler.Chain(nil, pass).Handle(t.Context(), &handler.Message{}), handler.ErrPostponed, "what nobody checked loses no message")
}
