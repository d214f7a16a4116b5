package storegate_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/internal/storegate"
)

// store is a store that can be down, and hang.
type store struct {
	mu     sync.Mutex
	err    error
	hang   chan struct{}
	probes int
	atOnce int
	most   int
}

func (s *store) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// asked returns how many probes there were, and how many at the same time.
func (s *store) asked() (probes, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probes, s.most
}

func (s *store) probe(context.Context) error {
	s.mu.Lock()
	s.probes++
	s.atOnce++
	s.most = max(s.most, s.atOnce)
	hang := s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atOnce--
	return s.err
}

type observer struct {
	mu     sync.Mutex
	events []handler.Event
}

func (o *observer) Observe(e handler.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

var errDown = errors.New("connection refused")

func TestAStoreThatIsDownClosesTheGateUntilItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen, log := &store{}, &observer{}, &strings.Builder{}
		g := storegate.New(storegate.Config{
			Name: "idempotency store redis://cache", Probe: s.probe, Timeout: time.Second,
			Observer: seen, Logger: slog.New(slog.NewTextHandler(log, nil)),
		})
		n, _ := g.Admit(10)
		require.Equal(t, 10, n)
		require.Empty(t, g.Reason())

		s.set(errDown)
		wait, own := g.Suspect("k", errDown)
		require.Positive(t, wait)
		require.False(t, own)
		g.Admit(1)
		synctest.Wait()
		require.Equal(t, "idempotency store redis://cache is down: connection refused", g.Reason())
		_, entered := g.Enter(t.Context())
		require.False(t, entered)

		// A receiver waits for two minutes.
		back := time.Now().Add(2 * time.Minute)
		time.AfterFunc(2*time.Minute, func() { s.set(nil) })
		for {
			n, reopened := g.Admit(10)
			if n > 0 {
				break
			}
			<-reopened
		}
		require.WithinDuration(t, back, time.Now(), 31*time.Second)
		require.Greater(t, time.Now(), back)
		probes, most := s.asked()
		require.Less(t, probes, 20, "probes keep away from a store that is down")
		require.Equal(t, 1, most)
		require.Empty(t, g.Reason())
		wait, entered = g.Enter(t.Context())
		require.True(t, entered)
		require.Zero(t, wait)

		synctest.Wait()
		require.Len(t, seen.events, 2)
		require.Equal(t, handler.EventStoreDown, seen.events[0].Kind)
		require.ErrorIs(t, seen.events[0].Err, errDown)
		require.Equal(t, handler.EventStoreUp, seen.events[1].Kind)
		require.GreaterOrEqual(t, seen.events[1].Duration, 2*time.Minute)
		require.Equal(t, 2, strings.Count(log.String(), "\n"), log)
	})
}

func TestAFailureOfOneCallIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := &store{}, &observer{}
		g := storegate.New(storegate.Config{Name: "store", Probe: s.probe, Timeout: time.Second, Observer: seen})
		began := time.Now()
		tries := 0
		for own := false; !own; {
			var wait time.Duration
			wait, own = g.Suspect("bad", errDown)
			require.Equal(t, time.Since(began) >= storegate.Patience, own)
			_, entered := g.Enter(t.Context())
			require.True(t, entered, "the store answers the probe")
			_, other := g.Suspect("other", errDown)
			require.False(t, other)
			g.Admit(1)
			synctest.Wait()
			g.Fine("other")
			tries++
			<-time.After(wait)
		}
		require.InDelta(t, 160, tries, 40, "the pauses grow to half a minute")
		_, own := g.Suspect("bad", errDown)
		require.False(t, own, "an attempt was spent: the next has its own time")
		g.Fine("other")
		require.Empty(t, seen.events)
	})
}

// Nobody asks to receive, and messages come by themselves, as in a Lambda.
func TestAMessageFindsTheStoreUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{err: errDown}
		g := storegate.New(storegate.Config{Name: "store", Probe: s.probe, Timeout: time.Second})
		g.Suspect("k", errDown)
		_, entered := g.Enter(t.Context())
		require.False(t, entered)
		s.set(nil)
		time.Sleep(time.Minute) //nolint:forbidigo // moves the bubble's clock
		probes, _ := s.asked()
		require.Equal(t, 1, probes, "a gate that nobody uses does nothing")
		_, entered = g.Enter(t.Context())
		require.True(t, entered)
		probes, _ = s.asked()
		require.Equal(t, 2, probes)
	})
}

func TestAProbeThatHangsCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{hang: make(chan struct{})}
		g := storegate.New(storegate.Config{Name: "store", Probe: s.probe, Timeout: time.Second})
		g.Suspect("k", errDown)
		g.Admit(1)
		time.Sleep(2 * time.Second) //nolint:forbidigo // moves the bubble's clock
		require.Contains(t, g.Reason(), "no answer within 1s")
		for range 1000 {
			_, entered := g.Enter(t.Context())
			require.False(t, entered)
			time.Sleep(time.Second) //nolint:forbidigo // moves the bubble's clock
		}
		_, most := s.asked()
		require.LessOrEqual(t, most, 3, "hanging probes pile up")
		_, reopened := g.Admit(1)
		close(s.hang)
		<-reopened
		synctest.Wait()
		n, _ := g.Admit(1)
		require.Equal(t, 1, n, "the answers came, late")
	})
}

func TestUserCodeThatMisbehaves(t *testing.T) {
	for name, f := range map[string]func(){"panics": func() { panic("boom") }, "ends its goroutine": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := true
				g := storegate.New(storegate.Config{
					Name: "store", Timeout: time.Second, Observer: observe(f), Logger: slog.New(logger{slog.DiscardHandler, f}),
					Probe: func(context.Context) error {
						if bad {
							f()
						}
						return nil
					},
				})
				g.Suspect("k", errDown)
				g.Admit(1)
				synctest.Wait()
				require.Contains(t, g.Reason(), "is down")
				bad = false
				time.Sleep(time.Minute) //nolint:forbidigo // moves the bubble's clock
				_, entered := g.Enter(t.Context())
				require.True(t, entered)
				synctest.Wait()
			})
		})
	}
}

type observe func()

func (f observe) Observe(handler.Event) { f() }

type logger struct {
	slog.Handler
	f func()
}

func (l logger) Enabled(context.Context, slog.Level) bool  { return true }
func (l logger) Handle(context.Context, slog.Record) error { l.f(); return nil }
