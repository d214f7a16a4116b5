package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
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
	t.Parallel()
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	t.Run("rules", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) idempotency.Store { return s })
	})
}

func TestPostgresMigratesConcurrently(t *testing.T) {
	t.Parallel()
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

// A mark of long ago has expired; its message is handled anew, and Cleanup comes
// while its transaction is open. The new mark must stay.
func TestCleanupLeavesWhatIsBeingMarked(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	key := policy.StoreKey("", "order")
	insert := func(key string) {
		_, err := db.ExecContext(t.Context(), `INSERT INTO sluice_idempotency (key, token, done, expires_at)
			VALUES ($1, 'old', true, (extract(epoch from now()) * 1000)::bigint - 120000)`, key)
		require.NoError(t, err)
	}
	insert(key)
	insert("other")
	runs := 0
	inside, leave := make(chan struct{}, 1), make(chan struct{})
	h := transactional(t, s, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		runs++
		inside <- struct{}{}
		<-leave
		return nil
	}), nil)
	done := make(chan error, 1)
	go func() { done <- h.Handle(context.Background(), &handler.Message{ID: "order"}) }()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n, err := s.Cleanup(ctx, 0)
	require.NoError(t, err, "it waits for the handler")
	require.EqualValues(t, 1, n, "the other one")
	close(leave)
	require.NoError(t, <-done)
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "order"}))
	require.Equal(t, 1, runs, "the duplicate was handled again")
}

// Keys that are claimed while Cleanup removes thousands are not removed.
func TestCleanupLeavesWhatIsBeingClaimed(t *testing.T) {
	t.Parallel()
	db := openPostgres(t)
	s := newPostgresStore(t, db)
	for range 5 {
		_, err := db.ExecContext(t.Context(), `INSERT INTO sluice_idempotency (key, token, done, expires_at)
			SELECT 'k' || i, 'old', false, (extract(epoch from now()) * 1000)::bigint - 120000 FROM generate_series(1, 3000) i
			ON CONFLICT (key) DO UPDATE SET token = 'old', done = false, expires_at = excluded.expires_at`)
		require.NoError(t, err)
		cleaned := make(chan error, 1)
		go func() { _, err := s.Cleanup(context.Background(), 3000); cleaned <- err }()
		var mine []string
		for i := 3000; i > 0; i -= 7 {
			key := fmt.Sprint("k", i)
			c, err := s.Claim(t.Context(), key, "new", time.Minute)
			require.NoError(t, err)
			if c.State == idempotency.Claimed {
				mine = append(mine, key)
			}
		}
		require.NoError(t, <-cleaned)
		for _, key := range mine {
			require.NoError(t, s.Complete(t.Context(), key, "new", nil, time.Minute), key)
		}
	}
}

// A role without the right to create can use a table that is there.
func TestARoleWithoutDDLRightsStarts(t *testing.T) {
	t.Parallel()
	server := testserver.Postgres(t)
	admin, err := sql.Open("pgx", server.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	newPostgresStore(t, admin)
	role := testserver.Name(t)
	for _, q := range []string{
		"CREATE ROLE " + role + " LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON sluice_idempotency TO " + role,
	} {
		_, err := admin.ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	u.User = url.User(role)
	app, err := sql.Open("pgx", u.String())
	require.NoError(t, err)
	defer app.Close()
	newPostgresStore(t, app)
	other, err := sqlstore.New(app, sqlstore.PostgreSQL, &sqlstore.Config{Table: "another"})
	require.NoError(t, err)
	require.ErrorContains(t, other.Migrate(t.Context()), "permission denied")
}
