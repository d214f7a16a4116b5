package consumer_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// While verdicts are not taken, as with expired credentials that still receive, a
// message that is handled comes again and spends its attempts. So receiving is held
// back, except for a trial now and then.
func TestReceivingIsHeldBackWhileVerdictsAreNotTaken(t *testing.T) {
	for name, code := range map[string]drivers.Code{"transient": drivers.Transient, "denied": drivers.Denied} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1000)
				var down atomic.Bool
				q.onSettle = func(drivers.Settlement) error {
					if down.Load() {
						return fault(code)
					}
					return nil
				}
				var calls atomic.Int64
				w := start(t, q, handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
					calls.Add(1)
					return lasting(time.Second)(ctx, m)
				}), consumer.Config{Concurrency: 10})
				pass(5 * time.Second) // it has worked before
				down.Store(true)
				began := calls.Load()
				for range 60 { // ten minutes
					pass(10 * time.Second)
					rec := httptest.NewRecorder()
					consumer.Liveness(w.c.Health).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
					require.Equal(t, http.StatusOK, rec.Code, rec.Body)
				}
				require.LessOrEqual(t, calls.Load()-began, int64(120), "messages handled in vain")
				require.GreaterOrEqual(t, calls.Load()-began, int64(40), "it is tried now and then")
				down.Store(false)
				pass(3 * time.Minute)
				require.EqualValues(t, 1000, w.c.Stats().Acked)
				require.NoError(t, w.stop())
			})
		})
	}
}
