package sqlstore_test

import (
	"database/sql"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/testserver"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

func openPostgres(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", testserver.Postgres(t).URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(20)
	return db
}

func newPostgresStore(t testing.TB, db *sql.DB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(db, sqlstore.PostgreSQL, nil)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

func TestPostgresConforms(t *testing.T) {
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	t.Run("rules", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) idempotency.Store { return s })
	})
}

func TestPostgresMigratesConcurrently(t *testing.T) {
	db := openPostgres(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sqlstore.New(db, sqlstore.PostgreSQL, &sqlstore.Config{Table: "public.together"})
			if err == nil {
				err = s.Migrate(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
