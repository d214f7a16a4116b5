package handler_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

type shut struct{}

func (shut) Admit(int) (int, <-chan struct{}) { return 0, nil }

// gated is a handler whose middleware offers a gate.
type gated struct{ handler.Handler }

func (gated) Gate() handler.Gate { return shut{} }

func TestGatesOf(t *testing.T) {
	plain := func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error { return next.Handle(ctx, m) })
	}
	offers := func(next handler.Handler) handler.Handler { return gated{next} }
	require.Equal(t, []handler.Gate{shut{}}, handler.GatesOf(plain, nil, offers))
	require.Empty(t, handler.GatesOf(plain))
}
