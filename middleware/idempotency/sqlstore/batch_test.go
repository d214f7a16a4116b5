package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/handlertest"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// A batch has no transaction that is every message's. With the first message's, the
// second would be marked and acked though its effect is rolled back with the first.
func TestABatchGetsNoMessagesTransaction(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		newLedger(t, db)
		mw, err := sqlstore.Transactional(s, nil)
		require.NoError(t, err)
		ran := make(chan struct{})
		var once sync.Once
		batch, err := handler.Batch(handler.BatchHandlerFunc(func(ctx context.Context, ms []*handler.Message) []error {
			once.Do(func() { close(ran) })
			<-ctx.Done()
			errs := make([]error, len(ms))
			for i, m := range ms {
				if tx := sqlstore.Tx(ctx); tx != nil {
					_, errs[i] = tx.ExecContext(context.WithoutCancel(ctx), `INSERT INTO effects (id) VALUES ($1)`, m.ID)
				}
			}
			return errs
		}), &handler.BatchConfig{MaxCount: 2})
		require.NoError(t, err)
		opaque := func(next handler.Handler) handler.Handler {
			return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error { return next.Handle(ctx, m) })
		}
		stack, err := middleware.Standard(&middleware.Config{Idempotency: mw})
		require.NoError(t, err)
		for name, h := range map[string]handler.Handler{
			"direct": mw(batch), "standard": stack.Handler(batch), "chain": handler.Chain(batch, mw, opaque), "opaque": mw(opaque(batch)),
		} {
			t.Run(name, func(t *testing.T) {
				if name != "opaque" {
					_, err := handlertest.New(h, nil)
					require.ErrorContains(t, err, "idempotency.New around the batch handler")
					src, err := new(mem.Opener).Source(t.Context(), "q", nil)
					require.NoError(t, err)
					defer src.Close()
					_, err = consumer.New(src, h, nil)
					require.ErrorContains(t, err, "idempotency.New around the batch handler")
				}
				// A runtime that does not look.
				first, lose := context.WithCancelCause(t.Context())
				second, stop := context.WithCancelCause(t.Context())
				var calls sync.WaitGroup
				for id, ctx := range map[string]context.Context{"A": first, "B": second} {
					calls.Go(func() {
						if v := handler.VerdictOf(h.Handle(ctx, &handler.Message{ID: id})); !v.Postponed {
							t.Errorf("%s: %+v", id, v)
						}
					})
				}
				done := make(chan struct{})
				go func() { calls.Wait(); close(done) }()
				select {
				case <-ran:
				case <-done:
				}
				lose(handler.ErrLeaseLost)
				stop(errors.New("the end"))
				<-done
				var marks, effects int
				require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM sluice_idempotency`).Scan(&marks))
				require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM effects`).Scan(&effects))
				require.Equal(t, effects, marks)
			})
		}
	})
}

// The way out that the refusal names.
func TestABatchWithinIdempotency(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, db *sql.DB, s *sqlstore.Store) {
		_, err := db.ExecContext(t.Context(), `CREATE TABLE effects (id text NOT NULL PRIMARY KEY)`)
		require.NoError(t, err)
		var results sync.Map
		mw, err := idempotency.New(s, &idempotency.Config{OnDuplicate: func(_ context.Context, m *handler.Message, result []byte) error {
			results.Store(m.ID, string(result))
			return nil
		}})
		require.NoError(t, err)
		batch, err := handler.Batch(handler.BatchHandlerFunc(func(ctx context.Context, ms []*handler.Message) []error {
			errs := make([]error, len(ms))
			if idempotency.SetResult(ctx, []byte("whose?")) {
				t.Error("a batch has a result of one message")
			}
			for i, m := range ms {
				_, errs[i] = db.ExecContext(ctx, `INSERT INTO effects (id) VALUES ($1) ON CONFLICT DO NOTHING`, m.ID)
				idempotency.SetResult(handler.MessageContext(ctx, m), []byte("of "+m.ID))
			}
			return errs
		}), &handler.BatchConfig{MaxCount: 2})
		require.NoError(t, err)
		h := handler.Chain(batch, mw)
		require.NoError(t, handler.Check(h))
		for range 2 {
			var calls sync.WaitGroup
			for _, id := range []string{"A", "B"} {
				calls.Go(func() {
					if err := h.Handle(t.Context(), &handler.Message{ID: id}); err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
		}
		for _, id := range []string{"A", "B"} {
			result, _ := results.Load(id)
			require.Equal(t, "of "+id, result)
		}
	})
}
