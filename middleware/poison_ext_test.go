package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/breaker"
)

// A breaker must not let poison messages, which fail by a mistake of the handler,
// stop the good ones, nor give them more attempts than they have.
func TestPoisonDoesNotOpenABreaker(t *testing.T) {
	for _, tc := range []struct {
		name         string
		poison, good int
		err          error
		attempts     int           // of each poison message, at most
		within       time.Duration // all good ones are done
	}{
		{"thirty", 30, 300, errors.New("bug: index out of the plan"), 3, 10 * time.Second},
		{"alone", 12, 0, errors.New("bug"), 3, 0},
		{"more than good ones", 100, 100, errors.New("bug"), 6, 5 * time.Minute},
		{"rejected", 100, 100, handler.Reject(errors.New("bug")), 1, 10 * time.Second},
		{"like an outage", 30, 100, &net.OpError{Op: "read", Err: errors.New("reset")}, 6, time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := breaker.New(nil)
				require.NoError(t, err)
				s, err := middleware.Standard(&middleware.Config{
					Logger: slog.New(slog.DiscardHandler), Breakers: []*breaker.Breaker{b},
					Backoff: &backoff.Config{MaxAttempts: 3, Min: time.Second, Max: 5 * time.Second},
				})
				require.NoError(t, err)
				start, last, done := time.Now(), time.Duration(0), 0
				attempts := map[string]int{}
				h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
					<-time.After(20 * time.Millisecond)
					if m.Attribute("poison") != "" {
						attempts[m.ID]++
						return tc.err
					}
					done, last = done+1, time.Since(start)
					return nil
				})
				q, err := handlertest.New(s.Handler(h), &handlertest.Config{MaxAttempts: -1, Concurrency: 1, Gates: s.Gates()})
				require.NoError(t, err)
				for i := range tc.poison {
					q.Send(&handler.Message{ID: fmt.Sprint("p", i), Attributes: map[string]string{"poison": "1"}})
				}
				for i := range tc.good {
					q.Send(&handler.Message{ID: fmt.Sprint("g", i)})
				}
				_, err = q.Drain(t.Context())
				require.NoError(t, err)
				most := 0
				for _, n := range attempts {
					most = max(most, n)
				}
				require.Equal(t, tc.good, done)
				require.LessOrEqual(t, last, tc.within)
				require.Len(t, attempts, tc.poison)
				require.LessOrEqual(t, most, tc.attempts)
				require.Len(t, q.DeadLetters(), tc.poison)
			})
		})
	}
}
