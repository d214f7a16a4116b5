package handler_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func TestChainWithoutMiddlewareIsTheHandler(t *testing.T) {
	h := handler.HandlerFunc(func(context.Context, *handler.Message) error { return errBoom })
	require.ErrorIs(t, handler.Chain(h).Handle(t.Context(), &handler.Message{}), errBoom)
	require.ErrorIs(t, handler.Chain(h, nil, nil).Handle(t.Context(), &handler.Message{}), errBoom)
}

func TestChainBuildsEachMiddlewareOnce(t *testing.T) {
	built := 0
	mw := func(next handler.Handler) handler.Handler { built++; return next }
	h := handler.Chain(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), mw, nil, mw)
	for range 3 {
		require.NoError(t, h.Handle(t.Context(), &handler.Message{}))
	}
	require.Equal(t, 2, built)
}

func TestAMessageMadeByHandHasNeitherOriginNorLease(t *testing.T) {
	m := &handler.Message{}
	require.Equal(t, handler.Origin{}, m.Origin())
	lease := m.Lease()
	require.NotNil(t, lease)
	require.True(t, lease.Deadline().IsZero())
	require.ErrorIs(t, lease.Extend(t.Context(), time.Second), handler.ErrNoLease)
	stop, err := lease.Keep(handler.KeepOptions{})
	require.ErrorIs(t, err, handler.ErrNoLease)
	stop() // never nil
	lease.OnExtend(func(time.Time) { t.Error("called without a lease") })

	m.Bind(&handler.Origin{Queue: "orders"}, nil)
	require.Equal(t, "orders", m.Origin().Queue)
	require.ErrorIs(t, m.Lease().Extend(t.Context(), time.Second), handler.ErrNoLease)
}

// ownLease is a lease that knows the origin of its message.
type ownLease struct {
	handler.Lease
	origin *handler.Origin
}

func (l *ownLease) Origin() *handler.Origin { return l.origin }

func TestAMessageHasTheOriginAndTheLeaseThatItWasBoundTo(t *testing.T) {
	orders, bills := &handler.Origin{Queue: "orders"}, &handler.Origin{Queue: "bills"}
	for _, l := range []handler.Lease{&struct{ handler.Lease }{}, &ownLease{origin: orders}, &ownLease{origin: bills}, &ownLease{}} {
		for _, o := range []*handler.Origin{nil, orders} {
			m := &handler.Message{}
			m.Bind(o, l)
			require.Same(t, l, m.Lease())
			if o == nil {
				o = &handler.Origin{}
			}
			require.Equal(t, *o, m.Origin())
		}
	}
	m, own := &handler.Message{}, &ownLease{origin: orders}
	require.Zero(t, testing.AllocsPerRun(10, func() { m.Bind(orders, own) }))
}

func TestAttributes(t *testing.T) {
	m := &handler.Message{}
	require.Empty(t, m.Attribute("k"))
	m.SetAttribute("k", "v")
	m.SetAttribute("k", "w")
	m.SetAttribute("", "empty name")
	require.Equal(t, "w", m.Attribute("k"))
	require.Equal(t, map[string]string{"k": "w", "": "empty name"}, m.Attributes)
}

func TestABatchHandlerFuncIsABatchHandler(t *testing.T) {
	var h handler.BatchHandler = handler.BatchHandlerFunc(func(_ context.Context, ms []*handler.Message) []error {
		return make([]error, len(ms))
	})
	require.Len(t, h.HandleBatch(t.Context(), make([]*handler.Message, 3)), 3)
}
