package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// Errors of a driver that a user wrote.
type (
	ownCause  struct{}
	ownCauses struct{}
	noText    struct{}
)

func (ownCause) Error() string      { return "its own cause" }
func (e ownCause) Unwrap() error    { return e }
func (ownCauses) Error() string     { return "its own causes" }
func (e ownCauses) Unwrap() []error { return []error{e, e} }
func (noText) Error() string        { panic("no text") }

func TestErrorsOfDriversNeitherHangNorPanic(t *testing.T) {
	guard := time.AfterFunc(5*time.Minute, func() { panic("a driver's error is walked for ever") })
	t.Cleanup(func() { guard.Stop() })
	for name, bad := range map[string]error{"its own cause": ownCause{}, "its own causes": ownCauses{}, "no text": noText{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(20)
				q.caps.Lease = 10 * time.Second
				var n atomic.Int64
				some := func() error {
					if n.Add(1)%3 == 0 {
						return bad
					}
					return nil
				}
				q.onReceive = func(int) error { return some() }
				q.onSettle = func(drivers.Settlement) error { return some() }
				q.onExtend = func(drivers.Extension) error { return some() }
				w := start(t, q, func(ctx context.Context, m *handler.Message) error {
					stop, err := m.Lease().Keep(handler.KeepOptions{})
					defer stop()
					<-time.After(25 * time.Second)
					return err
				}, consumer.Config{})
				pass(10 * time.Minute)
				_ = w.c.Health()
				require.EqualValues(t, 20, w.c.Stats().Acked)
				require.NoError(t, w.stop())
			})
		})
	}
}
