package consumer_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

// postponesOnce postpones each message but the given one, which takes a time.
func postponesOnce(except string, took time.Duration) handler.HandlerFunc {
	var seen sync.Map
	return keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
		if m.ID == except {
			return lasting(took)(ctx, m)
		}
		if _, again := seen.LoadOrStore(m.ID, true); !again {
			return handler.Postpone(3*time.Second, errors.New("busy"))
		}
		return nil
	})
}

// Messages that wait while a suspect runs alone, for longer than a lease, wait on
// purpose: a restart would cost the suspect an attempt.
func TestASuspectThatRunsAloneIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		q.caps.Lease = 10 * time.Second
		q.caps.MaxAttempts = 5
		q.visible[1].tries = 2 // two attempts ended without a verdict
		w := start(t, q, postponesOnce("m2", 25*time.Second), consumer.Config{})
		for range 10 {
			pass(3 * time.Second)
			r := httptest.NewRecorder()
			consumer.Liveness(w.c.Health).ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			require.Equal(t, http.StatusOK, r.Code, w.c.Health())
		}
		require.NoError(t, w.stop())
		require.EqualValues(t, 2, w.c.Stats().Acked)
	})
}

// A drain runs them beside the suspect: to give them back would cost each an attempt.
func TestADrainBesideASuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(11)
		q.caps.Lease = time.Minute
		q.caps.MaxAttempts = 5
		q.visible[10].tries = 2
		w := start(t, q, postponesOnce("m11", 10*time.Minute), consumer.Config{})
		pass(25 * time.Second)
		require.EqualValues(t, 0, w.c.Stats().Acked, "they wait for the suspect")
		require.Error(t, w.stop())
		require.EqualValues(t, 10, w.c.Stats().Acked)
	})
}
