package crashtest

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
)

// TestEveryEffectExactlyOnce: workers are killed while they write effects in the
// transaction that marks them.
func TestEveryEffectExactlyOnce(t *testing.T) {
	suite.Only(t)
	onQueues(t, func(t *testing.T, queue string) {
		s := full(t)
		url := testserver.Postgres(t).URL
		db, err := sql.Open("pgx", url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		_, err = db.ExecContext(t.Context(), `CREATE TABLE effects (id text NOT NULL)`)
		require.NoError(t, err)
		store, err := open.URL(t.Context(), url) // makes the table of the marks before all workers do at the same time
		require.NoError(t, err)
		require.NoError(t, store.Close())

		fill(t, queue, s.messages)
		f := newFleet(t, s.workers, envQueue+"="+queue, envStore+"="+url, envEffects+"=1", envTakes+"=1ms")
		f.killing(s.kills, s.messages, func() int {
			n, err := count(t.Context(), db, `SELECT count(*) FROM effects`)
			require.NoError(t, err)
			return n
		})
		requireDrained(t, queue)
		f.stop()

		rows, err := count(t.Context(), db, `SELECT count(*) FROM effects`)
		require.NoError(t, err)
		different, err := count(t.Context(), db, `SELECT count(DISTINCT id) FROM effects`)
		require.NoError(t, err)
		require.Equal(t, s.messages, different, "effects that are missing")
		require.Equal(t, s.messages, rows, "effects that are doubled")
		require.Len(t, f.died, s.kills)
	})
}

// TestNoTwoHandlersOfOneKeyAtOnce: workers are killed while they hold claims.
func TestNoTwoHandlersOfOneKeyAtOnce(t *testing.T) {
	suite.Only(t)
	for _, c := range []struct {
		name  string
		store func(t *testing.T) string
	}{
		{"redis", func(t *testing.T) string { return testserver.Redis(t).URL + "/0?prefix=" + testserver.Name(t) + ":" }},
		{"postgresql", func(t *testing.T) string { return testserver.Postgres(t).URL }},
	} {
		t.Run(c.name, func(t *testing.T) {
			onQueues(t, func(t *testing.T, queue string) {
				s := full(t)
				url := c.store(t)
				store, err := open.URL(t.Context(), url)
				require.NoError(t, err)
				require.NoError(t, store.Close())
				file := filepath.Join(t.TempDir(), "history")

				fill(t, queue, s.messages)
				f := newFleet(t, s.workers, envQueue+"="+queue, envStore+"="+url, envHistory+"="+file, envTakes+"=1ms")
				h := &watched{file: file, ended: make(map[string]bool)}
				f.killing(s.kills, s.messages, func() int { return h.progress(t) })
				requireDrained(t, queue)
				f.stop()
				h.progress(t)
				require.Len(t, h.ended, s.messages, "messages that were never handled to the end")
				requireOneAtATime(t, h.runs, f.died)
			})
		})
	}
}

// A run is one call of a handler.
type run struct {
	key         string
	pid         int
	begin, end  time.Time // end is zero if it never came
	interrupted bool
	again       bool // it failed, or could not be marked: it must run again
}

// watched reads the history as it grows.
type watched struct {
	file   string
	offset int64
	ended  map[string]bool
	runs   []*run
	open   map[string]*run // by process and key
}

func (w *watched) progress(t *testing.T) int {
	t.Helper()
	if w.open == nil {
		w.open = make(map[string]*run)
	}
	f, err := os.Open(w.file)
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Seek(w.offset, 0)
	require.NoError(t, err)
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return len(w.ended) // a line that is not whole yet is read the next time
		}
		w.offset += int64(len(line))
		var (
			at        int64
			pid       int
			what, key string
		)
		_, err = fmt.Sscan(line, &at, &pid, &what, &key)
		require.NoError(t, err, line)
		w.take(t, time.Unix(0, at), pid, what, key)
	}
}

func (w *watched) take(t *testing.T, at time.Time, pid int, what, key string) {
	t.Helper()
	who := fmt.Sprint(pid, " ", key)
	if what == "begin" {
		require.NotContains(t, w.open, who, "one process runs %s twice at once", key)
		r := &run{key: key, pid: pid, begin: at}
		w.open[who], w.runs = r, append(w.runs, r)
		return
	}
	if what == "unmarked" {
		for _, r := range slices.Backward(w.runs) {
			if r.key == key && r.pid == pid {
				r.again = true
				return
			}
		}
	}
	r := w.open[who]
	require.NotNil(t, r, "%s of %s without a beginning", what, key)
	delete(w.open, who)
	r.end = at
	r.again = what == "failed"
	if what == "end" {
		w.ended[key] = true
	}
}

// requireOneAtATime checks that of each key's runs one has ended, or its process
// was dead, before the next began.
func requireOneAtATime(t *testing.T, runs []*run, died map[int]time.Time) {
	t.Helper()
	byKey := make(map[string][]*run)
	for _, r := range runs {
		if r.end.IsZero() {
			at, killed := died[r.pid]
			require.True(t, killed, "the handler of %s never ended, and its process was not killed", r.key)
			r.end, r.interrupted = at, true
		}
		byKey[r.key] = append(byKey[r.key], r)
	}
	interrupted, repeated := 0, 0
	for key, rs := range byKey {
		slices.SortFunc(rs, func(a, b *run) int { return a.begin.Compare(b.begin) })
		for i := 1; i < len(rs); i++ {
			require.False(t, rs[i].begin.Before(rs[i-1].end), "two handlers of %s at once: %+v and %+v", key, rs[i-1], rs[i])
			// Only what has no mark may run again: it was interrupted, or its
			// worker knew.
			require.True(t, rs[i-1].interrupted || rs[i-1].again || died[rs[i-1].pid] != (time.Time{}), "%s was handled twice: %+v and %+v", key, rs[i-1], rs[i])
		}
		for _, r := range rs {
			if r.again {
				repeated++
			}
			if r.interrupted {
				interrupted++
			}
		}
	}
	t.Logf("%d runs of %d keys, %d of them interrupted by a kill, %d failed or not marked", len(runs), len(byKey), interrupted, repeated)
	// On a machine that is so busy that leases are lost some fail. Many would be
	// a fault.
	require.Less(t, repeated, len(byKey)/100+1)
}
