package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/pgpooler"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// startPooler starts a pooler in transaction mode before a PostgreSQL.
func startPooler(t *testing.T, server *testserver.Server) *pgpooler.Pooler {
	t.Helper()
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	p, err := pgpooler.Start(u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/"), 3)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// The driver's default prepares statements by name, which the next client finds on
// its connection (42P05), or does not find (26000).
func TestAPoolerInTransactionMode(t *testing.T) {
	t.Parallel()
	server := testserver.Postgres(t)
	pooler := startPooler(t, server)
	direct, err := sql.Open("pgx", server.URL)
	require.NoError(t, err)
	defer direct.Close()
	for _, c := range []struct{ name, url string }{
		{"as the driver's default", pooler.URL()},
		{"the simple protocol", pooler.URL() + "&default_query_exec_mode=simple_protocol"},
		{"exec", pooler.URL() + "&default_query_exec_mode=exec"},
		{"without a pooler", server.URL},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, err := sql.Open("pgx", c.url)
			require.NoError(t, err)
			defer db.Close()
			s := newPostgresStore(t, db)
			newLedgerTable(t, db)
			mw, err := sqlstore.Transactional(s, nil)
			require.NoError(t, err)
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for i := range 10 {
						if err := oneLife(s, fmt.Sprint(c.name, w, "-", i)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			_, err = s.Cleanup(t.Context(), 0)
			require.NoError(t, err)
			h := mw(handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
				_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO effects VALUES ('1')")
				return err
			}))
			for range 3 {
				require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: c.name}))
			}
			require.Equal(t, 1, (&ledger{db: direct}).effects(t))
		})
	}
	t.Run("opened by URL", func(t *testing.T) {
		s, err := open.URL(t.Context(), pooler.URL())
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, oneLife(s, "by URL"))
		pooler.Drop()
		require.NoError(t, oneLife(s, "after the pooler was restarted"))
	})
}

func newLedgerTable(t *testing.T, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "DROP TABLE IF EXISTS effects")
	require.NoError(t, err)
	newLedger(t, db)
}

// oneLife takes a key through its life.
func oneLife(s idempotency.Store, key string) error {
	ctx := context.Background()
	if c, err := s.Claim(ctx, key, "t", time.Minute); err != nil || c.State != idempotency.Claimed {
		return fmt.Errorf("claim %s: %+v, %w", key, c, err)
	}
	if err := s.Renew(ctx, key, "t", time.Minute); err != nil {
		return err
	}
	if err := s.Complete(ctx, key, "t", []byte("r"), time.Minute); err != nil {
		return err
	}
	if c, err := s.Claim(ctx, key, "u", time.Minute); err != nil || c.State != idempotency.Done || string(c.Result) != "r" {
		return fmt.Errorf("claim %s again: %+v, %w", key, c, err)
	}
	return s.Release(ctx, key, "u")
}
