package open_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/dynamotable"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
)

func TestEachKindOfStoreOpensAndKeepsKeys(t *testing.T) {
	dynamo := testserver.DynamoDB(t).URL
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamo)
	table, _ := dynamotable.New(t, dynamo)

	for _, c := range []struct {
		name, url string
		shared    bool // a second opening sees what the first wrote
		sql       bool
	}{
		{"memory", "mem://", false, false},
		{"redis", testserver.Redis(t).URL + "/0?prefix=" + testserver.Name(t), true, false},
		{"postgresql", testserver.Postgres(t).URL + "&table=public.marks", true, true},
		{"sqlite", "sqlite://" + filepath.Join(t.TempDir(), "a file?.db") + "?table=marks", true, true},
		{"dynamodb", "dynamodb://" + table + "?region=us-east-1", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "sqlite" {
				c.url = "sqlite://" + filepath.Join(t.TempDir(), "a%20file%3F.db") + "?table=marks"
			}
			first := mustOpen(t, c.url)
			require.Equal(t, c.sql, first.SQL != nil)
			claim, err := first.Claim(t.Context(), "k", "t", time.Minute)
			require.NoError(t, err)
			require.Equal(t, idempotency.Claimed, claim.State)
			require.NoError(t, first.Complete(t.Context(), "k", "t", nil, time.Hour))

			claim, err = mustOpen(t, c.url).Claim(t.Context(), "k", "u", time.Minute)
			require.NoError(t, err)
			want := idempotency.Claimed
			if c.shared {
				want = idempotency.Done
			}
			require.Equal(t, want, claim.State)
		})
	}
}

func mustOpen(t *testing.T, url string) *opened.Store {
	t.Helper()
	s, err := open.URL(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestAWrongURLIsNamed(t *testing.T) {
	for _, c := range []struct{ name, url, want string }{
		{"unknown scheme", "reddis://host", `did you mean "redis"?`},
		{"no scheme", "host:1", "unknown scheme"},
		{"malformed", "redis://user:hunter2@ho st/%zz", "invalid"},
		{"unread parameter, memory", "mem://?ttl=1", `unknown parameter "ttl"`},
		{"unread parameter, sqlite", "sqlite:///x.db?tabel=x", `unknown parameter "tabel"`},
		{"unread parameter, redis", "redis://127.0.0.1:1/0?prefixx=x", "prefixx"},
		{"no file", "sqlite://", "no file"},
		{"no connections", "postgres://127.0.0.1:1/db?pool_max_conns=0", "pool_max_conns"},
		{"bad query", "sqlite:///x.db?table=a;b", "semicolon"},
		{"bad table", "sqlite://x.db?table=a%3Bb", "table"},
	} {
		_, err := open.URL(t.Context(), c.url)
		require.ErrorIs(t, err, opened.ErrURL, c.name)
		require.ErrorContains(t, err, c.want, c.name)
		require.NotContains(t, err.Error(), "hunter2", c.name)
	}
}

func TestAnUnreachableStoreIsNoWrongURL(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, url := range []string{"redis://:hunter2@127.0.0.1:1/0", "postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable&connect_timeout=2"} {
		_, err := open.URL(ctx, url)
		require.Error(t, err)
		require.NotErrorIs(t, err, opened.ErrURL)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// maxConns is the bound of a pool whose URL has none.
const maxConns = 32

// The pool keeps within its bound, and callers wait for a connection.
func TestAPoolHasABound(t *testing.T) {
	url := testserver.Postgres(t).URL
	for which, c := range map[string]struct {
		query string
		most  int
	}{"default": {"", maxConns}, "own": {"&pool_max_conns=2", 2}} {
		t.Run(which, func(t *testing.T) {
			name := testserver.Name(t)
			s := mustOpen(t, url+c.query+"&application_name="+name)
			admin, err := sql.Open("pgx", url)
			require.NoError(t, err)
			defer admin.Close()
			count := func() (n int) {
				require.NoError(t, admin.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
					WHERE application_name = $1`, name).Scan(&n))
				return n
			}
			// Nobody can claim meanwhile.
			tx, err := admin.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), "LOCK TABLE sluice_idempotency IN ACCESS EXCLUSIVE MODE")
			require.NoError(t, err)
			var calls sync.WaitGroup
			for i := range 3 * maxConns {
				calls.Go(func() {
					if _, err := s.Claim(t.Context(), fmt.Sprint(name, i), "t", time.Minute); err != nil {
						t.Error(err)
					}
				})
			}
			require.Eventually(t, func() bool { return count() >= c.most }, time.Minute, 10*time.Millisecond)
			for range 6 { // callers that would pass the bound have begun
				<-time.After(50 * time.Millisecond)
				require.LessOrEqual(t, count(), c.most)
			}
			require.NoError(t, tx.Commit())
			calls.Wait()
			require.GreaterOrEqual(t, count(), min(c.most, 3), "idle connections are kept")
			require.NoError(t, s.Close())
		})
	}
}
