package open_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/control/open"
	idempotencyopen "github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

func mustOpen(t *testing.T, url string) *control.Opened {
	t.Helper()
	s, err := open.URL(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// Every store keeps states for all who open it, and loses none of concurrent changes.
func TestEachKindOfStore(t *testing.T) {
	t.Parallel()
	dir := filepath.ToSlash(t.TempDir())
	for name, url := range map[string]string{
		"file":       "file://" + dir + "/control.json",
		"sqlite":     "sqlite://" + dir + "/c.db?table=switches",
		"postgresql": testserver.Postgres(t).URL,
		"redis":      testserver.Redis(t).URL + "/0?prefix=" + testserver.Name(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := mustOpen(t, url), mustOpen(t, url)
			states, err := control.Read(t.Context(), first)
			require.NoError(t, err)
			require.Empty(t, states, "nothing was written yet")
			states, err = control.Read(t.Context(), first, "orders")
			require.NoError(t, err)
			require.Equal(t, map[string]control.State{"orders": {}}, states)

			by := control.Change{By: "alice", At: time.Date(2026, 11, 29, 19, 0, 0, 0, time.UTC), Reason: `<a "reason">`}
			want := control.State{Paused: true, Pause: by, Concurrency: 3, Rate: 50, Per: time.Second, Limit: by}
			got, err := control.Update(t.Context(), first, "orders", func(s *control.State) { *s = want })
			require.NoError(t, err)
			require.Equal(t, want, got)
			states, err = control.Read(t.Context(), second, "orders", "emails")
			require.NoError(t, err)
			require.Equal(t, map[string]control.State{"orders": want, "emails": {}}, states)

			swapped, err := second.Swap(t.Context(), "orders", "", "{}")
			require.NoError(t, err)
			require.False(t, swapped, "another text is there")
			swapped, err = second.Swap(t.Context(), "emails", "{}", `{"paused":true}`)
			require.NoError(t, err)
			require.False(t, swapped, "no text is there")

			var writers sync.WaitGroup
			for i := range 8 {
				s := first
				if i%2 == 1 {
					s = second
				}
				writers.Go(func() {
					_, err := control.Update(t.Context(), s, "emails", func(s *control.State) { s.Concurrency++ })
					if err != nil {
						t.Error(err)
					}
				})
			}
			writers.Wait()
			states, err = control.Read(t.Context(), first)
			require.NoError(t, err)
			require.Equal(t, map[string]control.State{"orders": want, "emails": {Concurrency: 8}}, states)
		})
	}
}

// The store beside the marks is the one that its own URL opens.
func TestTheStoreBesideAnIdempotencyStore(t *testing.T) {
	t.Parallel()
	dir := filepath.ToSlash(t.TempDir())
	redis := testserver.Redis(t).URL + "/0?prefix=" + testserver.Name(t)
	postgres := testserver.Postgres(t).URL
	for url, own := range map[string]string{
		"sqlite://" + dir + "/c.db?table=marks": "sqlite://" + dir + "/c.db",
		postgres:                                postgres,
		postgres + "&table=public.m":            postgres + "&table=public.sluice_control",
		redis:                                   redis,
	} {
		marks, err := idempotencyopen.URL(t.Context(), url)
		require.NoError(t, err)
		beside := marks.ControlStore()
		_, err = control.Update(t.Context(), beside, "orders", func(s *control.State) { s.Concurrency++ })
		require.NoError(t, err)
		states, err := control.Read(t.Context(), mustOpen(t, own), "orders")
		require.NoError(t, err)
		require.Positive(t, states["orders"].Concurrency)
		require.NoError(t, marks.Close())
	}
}

// Handlers that have all connections of the idempotency store do not keep the control store
// from being read.
func TestTheStoreBesideHasConnectionsOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"PostgreSQL": testserver.Postgres(t).URL + "&pool_max_conns=1",
		"SQLite":     "sqlite://" + filepath.ToSlash(t.TempDir()) + "/c.db",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			marks, err := idempotencyopen.URL(t.Context(), url)
			require.NoError(t, err)
			defer marks.Close()
			_, err = control.Update(t.Context(), marks.ControlStore(), "orders", func(s *control.State) { s.Paused = true })
			require.NoError(t, err)
			m, err := sqlstore.Transactional(marks.SQL, nil)
			require.NoError(t, err)
			began, release := make(chan struct{}), make(chan struct{})
			var handlers sync.WaitGroup
			handlers.Go(func() {
				err := m(handler.HandlerFunc(func(context.Context, *handler.Message) error {
					close(began)
					<-release
					return nil
				})).Handle(t.Context(), &handler.Message{ID: "x"})
				if err != nil {
					t.Error(err)
				}
			})
			<-began
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			states, err := control.Read(ctx, marks.ControlStore())
			close(release)
			handlers.Wait()
			require.NoError(t, err)
			require.True(t, states["orders"].Paused)
		})
	}
}

// A role that may create nothing can read a store that is not there, and one that is.
func TestAReaderNeedsNoRights(t *testing.T) {
	t.Parallel()
	url := testserver.Postgres(t).URL
	admin, err := sql.Open("pgx", url)
	require.NoError(t, err)
	defer admin.Close()
	reader := mustOpen(t, url+"&default_transaction_read_only=on")
	states, err := control.Read(t.Context(), reader)
	require.NoError(t, err)
	require.Empty(t, states)
	_, err = control.Update(t.Context(), reader, "orders", func(s *control.State) { s.Paused = true })
	require.ErrorContains(t, err, "read-only")
	_, err = control.Update(t.Context(), mustOpen(t, url), "orders", func(s *control.State) { s.Paused = true })
	require.NoError(t, err)
	states, err = control.Read(t.Context(), reader)
	require.NoError(t, err)
	require.True(t, states["orders"].Paused)
}

func TestAWrongURLIsNamed(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"filee:///x":                      `did you mean "file"?`,
		"mem://":                          "unknown scheme",
		"redis://user:hunter2@ho st/%zz":  "invalid",
		"file:///tmp/x?table=y":           `unknown parameter "table" (known: none)`,
		"sqlite:///x.db?tabel=x":          `unknown parameter "tabel"`,
		"file://":                         "no file",
		"sqlite://x.db?table=a%3Bb":       "table is",
		"redis://127.0.0.1:1/0?prefixx=x": "prefixx",
		"sqlite:///x.db?table=a;b":        "semicolon",
	} {
		_, err := open.URL(t.Context(), url)
		require.ErrorIs(t, err, control.ErrURL, url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "hunter2", url)
	}
}

// A store that can't be reached is not one without states.
func TestAnUnreachableStore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	dir := filepath.ToSlash(t.TempDir())
	for _, url := range []string{
		"redis://:hunter2@127.0.0.1:1/0", "postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable&connect_timeout=2",
		"file://" + dir + "/no/control.json", "sqlite://" + dir + "/no/c.db",
	} {
		_, err := open.URL(ctx, url)
		require.Error(t, err, url)
		require.NotErrorIs(t, err, control.ErrURL)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// A state that was written by hand, or by another version, is an error that names it; the
// others are read.
func TestAStateThatCannotBeRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "control.json")
	require.NoError(t, os.WriteFile(path, []byte(`{
		"orders": {"concurrency": -1},
		"emails": {"paused": true}
	}`), 0o600))
	s := mustOpen(t, "file://"+filepath.ToSlash(path))
	states, err := control.Read(t.Context(), s)
	require.ErrorContains(t, err, `the state of queue "orders" can't be read: concurrency is -1`)
	require.True(t, states["emails"].Paused)
	_, err = control.Update(t.Context(), s, "orders", func(*control.State) {})
	require.ErrorContains(t, err, "remove it from the store to begin anew")
	_, err = control.Update(t.Context(), s, "emails", func(s *control.State) { s.Paused = false })
	require.NoError(t, err, "the file's spaces don't matter")
	_, err = control.Update(t.Context(), s, "emails", func(s *control.State) { s.Rate = 1 })
	require.ErrorContains(t, err, "a rate needs a time above 0")
	for text, want := range map[string]string{
		`null`: "it is null", `{"pasued": true}`: "pasued", `[]`: "array", `"paused"`: "string", `{"rate": 1, "per": "1s"}`: "per",
	} {
		require.NoError(t, os.WriteFile(path, []byte(`{"orders": `+text+`}`), 0o600))
		_, err = control.Read(t.Context(), s, "orders")
		require.ErrorContains(t, err, `the state of queue "orders" can't be read`, text)
		require.ErrorContains(t, err, want, text)
		_, err = control.Update(t.Context(), s, "orders", func(*control.State) {})
		require.ErrorContains(t, err, want, text)
	}
	require.NoError(t, os.WriteFile(path, []byte(`[]`), 0o600))
	_, err = control.Read(t.Context(), s)
	require.ErrorContains(t, err, "is not a JSON object of states")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = control.Read(t.Context(), s, "emails")
	require.ErrorContains(t, err, "control.json")
	var syntax *json.SyntaxError
	require.ErrorAs(t, err, &syntax)
}

// A text that was lost is not a queue that runs.
func TestAnEmptyStateIsNoState(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, testserver.Redis(t).URL+"/0?prefix="+testserver.Name(t))
	for _, text := range []string{" ", `{} {}`} {
		_, err := s.Swap(t.Context(), "orders", "", text)
		require.NoError(t, err)
		_, err = control.Read(t.Context(), s, "orders")
		require.ErrorContains(t, err, `the state of queue "orders" can't be read`, text)
		_, err = s.Swap(t.Context(), "orders", text, "")
		require.NoError(t, err)
		_, err = control.Read(t.Context(), s, "orders")
		require.ErrorContains(t, err, "it is empty")
	}
	states, err := control.Read(t.Context(), s, "emails")
	require.NoError(t, err)
	require.Zero(t, states["emails"])
}
