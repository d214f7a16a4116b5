package middleware_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/bulkhead"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

// effects counts how often each body was handled.
type effects struct {
	mu     sync.Mutex
	done   map[string]int
	turned map[string]int // how often each was turned away
}

// mostTurned is how often the one was turned away that was most often.
func (e *effects) mostTurned() int {
	most := 0
	for _, n := range e.turned {
		most = max(most, n)
	}
	return most
}

func (e *effects) add(m *handler.Message) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done == nil {
		e.done = map[string]int{}
	}
	e.done[string(m.Body)]++
	return len(e.done)
}

// run consumes p until n messages were handled, or for a while.
func (e *effects) run(t *testing.T, p place, n int, limit time.Duration, h handler.Handler, c consumer.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c.Logger = slog.New(slog.DiscardHandler)
	w, err := consumer.New(p.source, handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		err := h.Handle(ctx, m)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.turned == nil {
			e.turned = map[string]int{}
		}
		if err != nil {
			e.turned[string(m.Body)]++
		}
		if len(e.done) == n && err == nil {
			time.AfterFunc(time.Second, cancel)
		}
		return err
	}), &c)
	require.NoError(t, err)
	require.NoError(t, w.Run(ctx))
	require.Len(t, e.done, n)
	for body, times := range e.done {
		require.Equal(t, 1, times, body)
	}
}

// early is a store whose answers are of the present only: other processes take the
// places that it has promised.
type early struct{ ratelimit.Store }

func (s early) Take(ctx context.Context, r ratelimit.Request) (ratelimit.Answer, error) {
	a, err := s.Store.Take(ctx, r)
	a.After = min(a.After, time.Second)
	return a, err
}

// held is a store in which another worker has every key, and renews its claims,
// until a time.
type held struct {
	idempotency.Store
	until time.Time
}

func (s held) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	if time.Now().Before(s.until) {
		return idempotency.Claim{State: idempotency.InProgress, Remaining: 20 * time.Second}, nil
	}
	return s.Store.Claim(ctx, key, token, ttl)
}

// Messages that no limit lets through have spent nothing, though a queue allows
// three attempts and most are turned away more often than that.
func TestWhatALimitTurnsAwaySpendsNoAttempt(t *testing.T) {
	tenant := func(m *handler.Message) string { return m.Attribute("tenant") }
	slow := func(e *effects) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			require.LessOrEqual(t, m.Attempt, nativeLimit)
			if d := 300 * time.Millisecond; e.add(m) <= 120 {
				time.Sleep(60 * d) //nolint:forbidigo // the bubble's time: a slow beginning
			} else {
				time.Sleep(d) //nolint:forbidigo // the bubble's time
			}
			return nil
		})
	}
	t.Run("bulkhead", func(t *testing.T) {
		onBoth(t, func(t *testing.T, p place) {
			const n = 500
			p.send(t, n, func(i int) string { return "busy" })
			full, err := bulkhead.New(4, tenant, nil)
			require.NoError(t, err)
			e := &effects{}
			e.run(t, p, n, time.Hour, handler.Chain(slow(e), full), consumer.Config{Concurrency: 32})
			require.GreaterOrEqual(t, e.mostTurned(), nativeLimit)
		})
	})
	t.Run("ratelimit by key", func(t *testing.T) {
		onBoth(t, func(t *testing.T, p place) {
			const n = 300
			p.send(t, n, func(i int) string { return fmt.Sprint(i % 2) })
			l, err := ratelimit.New(2, time.Second, &ratelimit.Config{Key: tenant, Store: early{ratelimit.NewMemory()}})
			require.NoError(t, err)
			e := &effects{}
			e.run(t, p, n, time.Hour, handler.Chain(slow(e), l.Middleware), consumer.Config{Concurrency: 32, Gates: []handler.Gate{l}})
			require.GreaterOrEqual(t, e.mostTurned(), nativeLimit)
		})
	})
	t.Run("a claim of another worker", func(t *testing.T) {
		onBoth(t, func(t *testing.T, p place) {
			const n = 50
			p.send(t, n, func(int) string { return "" })
			store := held{idempotency.NewMemory(), time.Now().Add(5 * time.Minute)}
			once, err := idempotency.New(store, &idempotency.Config{Namespace: "h"})
			require.NoError(t, err)
			e := &effects{}
			e.run(t, p, n, time.Hour, handler.Chain(slow(e), once), consumer.Config{})
			require.GreaterOrEqual(t, e.mostTurned(), nativeLimit)
		})
	})
}

// SQLite has one writer, and the file no busy timeout: most messages find it taken.
func TestSQLitesOneWriterSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	const n = 80
	db, err := sql.Open("sqlite", "file:"+t.TempDir()+"/ledger.db?_pragma=journal_mode(wal)")
	require.NoError(t, err)
	defer db.Close()
	s, err := sqlstore.New(db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	once, err := sqlstore.Transactional(s, &sqlstore.TxConfig{BusyRetry: 100 * time.Millisecond})
	require.NoError(t, err)
	p := onMem(t)
	p.send(t, n, func(int) string { return "" })
	e := &effects{}
	e.run(t, p, n, time.Minute, handler.Chain(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		<-time.After(3 * time.Millisecond)
		e.add(m)
		return nil
	}), once), consumer.Config{Concurrency: 16, Gates: handler.GatesOf(once)})
}
