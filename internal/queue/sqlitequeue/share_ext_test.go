package sqlitequeue_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// twoEngines opens one file twice, as two processes would.
func twoEngines(t *testing.T, o *sqlitequeue.Options) (a, b *sqlitequeue.Engine) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queues.db")
	open := func() *sqlitequeue.Engine {
		e, err := sqlitequeue.Open(t.Context(), path, o)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, e.Close()) })
		return e
	}
	return open(), open()
}

func TestAnotherEnginesMessageEndsTheWait(t *testing.T) {
	t.Parallel()
	a, b := twoEngines(t, nil)
	require.NoError(t, a.Create(t.Context(), "q", queue.Config{}))
	for range 3 {
		came := make(chan []queue.Received, 1)
		go func() {
			rs, err := a.Receive(t.Context(), "q", queue.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: 20 * time.Second})
			if err != nil {
				t.Error(err)
			}
			came <- rs
		}()
		select {
		case <-came:
			t.Fatal("there is nothing to receive")
		case <-time.After(50 * time.Millisecond):
		}
		_, err := b.Send(t.Context(), "q", text("x"))
		require.NoError(t, err)
		select {
		case rs := <-came:
			require.Len(t, rs, 1)
		case <-time.After(10 * time.Second):
			t.Fatal("the other engine's message was not noticed")
		}
	}
}

func TestEnginesSeeEachOthersQueues(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, b := twoEngines(t, nil)
	require.NoError(t, a.Create(ctx, "q", queue.Config{}))
	sent, err := b.Send(ctx, "q", text("x"))
	require.NoError(t, err)
	rs, err := a.Receive(ctx, "q", queue.ReceiveRequest{Max: 1, Visibility: time.Minute})
	require.NoError(t, err)
	require.Equal(t, sent[0].ID, rs[0].ID)
	require.Nil(t, b.Delete(ctx, "q", receipts(rs)), "a receipt is good in every process")

	require.NoError(t, b.Configure(ctx, "q", queue.Config{Visibility: time.Hour}))
	c, _, err := a.Config(ctx, "q")
	require.NoError(t, err)
	require.Equal(t, time.Hour, c.Visibility)
	_, err = a.Send(ctx, "q", text("y"))
	require.NoError(t, err)
	rs, err = a.Receive(ctx, "q", queue.ReceiveRequest{Max: 1, Visibility: -1})
	require.NoError(t, err)
	require.Greater(t, time.Until(rs[0].Deadline), 50*time.Minute)

	require.NoError(t, b.Remove(ctx, "q"))
	require.NoError(t, b.Create(ctx, "q", queue.Config{}))
	require.Equal(t, []error{queue.ErrReceipt}, a.Delete(ctx, "q", receipts(rs)), "it is another queue now")
	_, err = a.Send(ctx, "q", text("z"))
	require.NoError(t, err)
}

func TestTaskOfAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newClock()
	path := filepath.Join(t.TempDir(), "queues.db")
	a, err := sqlitequeue.Open(ctx, path, &sqlitequeue.Options{Clock: c})
	require.NoError(t, err)
	require.NoError(t, a.Create(ctx, "q", queue.Config{}))
	require.NoError(t, a.Create(ctx, "to", queue.Config{}))
	_, err = a.Send(ctx, "q", numbered(5))
	require.NoError(t, err)
	task, err := a.StartMove(ctx, "q", "to", 1)
	require.NoError(t, err)

	b, err := sqlitequeue.Open(ctx, path, &sqlitequeue.Options{Clock: c})
	require.NoError(t, err)
	_, err = b.StartMove(ctx, "q", "to", 1)
	require.ErrorIs(t, err, queue.ErrTaskRunning)
	require.NoError(t, a.Close())
	tasks, err := b.Moves(ctx, "q")
	require.NoError(t, err)
	require.Equal(t, queue.TaskFailed, tasks[0].Status)
	require.Contains(t, tasks[0].Failure, "closed")

	// A process that was killed said nothing.
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, "UPDATE moves SET status = 'RUNNING', failure = '' WHERE handle = ?", task.Handle)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = b.StartMove(ctx, "q", "to", 0)
	require.ErrorIs(t, err, queue.ErrTaskRunning)
	c.Advance(time.Minute)
	_, err = b.StartMove(ctx, "q", "to", 0)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		tasks, err = b.Moves(ctx, "q")
		return err == nil && tasks[0].Status == queue.TaskCompleted
	}, 10*time.Second, time.Millisecond)
	require.Contains(t, tasks[1].Failure, "process")
	require.NoError(t, b.Close())
}

func TestCancelOfAnotherEnginesTask(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newClock()
	a, b := twoEngines(t, &sqlitequeue.Options{Clock: c})
	require.NoError(t, a.Create(ctx, "q", queue.Config{}))
	require.NoError(t, a.Create(ctx, "to", queue.Config{}))
	_, err := a.Send(ctx, "q", numbered(5))
	require.NoError(t, err)
	task, err := a.StartMove(ctx, "q", "to", 1)
	require.NoError(t, err)
	_, err = b.CancelMove(ctx, task.Handle)
	require.NoError(t, err)
	moved := func() int64 {
		s, err := b.Stats(ctx, "to")
		require.NoError(t, err)
		return s.Visible
	}
	was := moved()
	c.Advance(time.Hour)
	require.Eventually(t, func() bool { return c.Waiting() == 0 }, 10*time.Second, time.Millisecond)
	require.Equal(t, was, moved())
}

func TestOddFileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"with space.db", "a?b#c%20d&e=f.db", "ключ 🔑", "file:x", "'quoted\""} {
		path := filepath.Join(t.TempDir(), name)
		e, err := sqlitequeue.Open(t.Context(), path, &sqlitequeue.Options{Sync: true})
		require.NoError(t, err, name)
		require.NoError(t, e.Create(t.Context(), "q", queue.Config{}))
		require.NoError(t, e.Close())
		require.FileExists(t, path)
	}
}

// TestOnceEach has many senders and workers, and each message is handled once.
func TestOnceEach(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		e := queue.NewMemory(nil)
		onceEach(t, 20_000, e, e)
		require.NoError(t, e.Close())
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		a, b := twoEngines(t, nil)
		onceEach(t, 1_000, a, b)
	})
}

func onceEach(t *testing.T, total int, engines ...queue.Engine) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, engines[0].Create(ctx, "q", queue.Config{Ordered: true}))
	var mu sync.Mutex
	handled := map[string]int{}
	last := map[string]int64{}
	var running sync.WaitGroup
	const senders, workers = 4, 4
	for s := range senders {
		running.Go(func() {
			e := engines[s%len(engines)]
			for n := 0; n < total/senders; n += 10 {
				ms := make([]queue.Message, 10)
				for i := range ms {
					ms[i] = queue.Message{ID: fmt.Sprintf("%d.%d", s, n+i), Group: []string{"", fmt.Sprint("g", s), "shared"}[i%3]}
				}
				if _, err := e.Send(ctx, "q", ms); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for w := range workers {
		running.Go(func() {
			e := engines[w%len(engines)]
			for {
				mu.Lock()
				done := len(handled) == total
				mu.Unlock()
				if done || ctx.Err() != nil {
					return
				}
				rs, err := e.Receive(ctx, "q", queue.ReceiveRequest{Max: 1 + w*5, Visibility: time.Minute, Wait: 100 * time.Millisecond, Spread: w%2 == 0})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, r := range rs {
					if handled[r.ID]++; handled[r.ID] > 1 {
						t.Errorf("%s was delivered twice", r.ID)
					}
					if r.Group != "" {
						if r.Sequence < last[r.Group] {
							t.Errorf("group %s: %d came after %d", r.Group, r.Sequence, last[r.Group])
						}
						last[r.Group] = r.Sequence
					}
				}
				mu.Unlock()
				if errs := e.Delete(ctx, "q", receipts(rs)); len(errs) > 0 {
					t.Error(errs)
				}
			}
		})
	}
	running.Wait()
	require.Len(t, handled, total)
}

// TestRealTimeInABubble has the engine go by the clock of a synctest bubble.
func TestRealTimeInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := queue.NewMemory(nil)
		require.NoError(t, e.Create(t.Context(), "q", queue.Config{}))
		_, err := e.Send(t.Context(), "q", []queue.Message{{Delay: time.Hour}})
		require.NoError(t, err)
		begin := time.Now()
		rs, err := e.Receive(t.Context(), "q", queue.ReceiveRequest{Max: 1, Visibility: time.Minute, Wait: 2 * time.Hour})
		require.NoError(t, err)
		require.Len(t, rs, 1)
		require.Equal(t, time.Hour, time.Since(begin))
		require.Equal(t, begin.Add(time.Hour+time.Minute).UnixNano(), rs[0].Deadline.UnixNano())
		require.NoError(t, e.Close())
	})
}

// A receive that finds nothing remembers how far it has looked, and must not pass a message
// that another engine sends meanwhile.
func TestAReceivePassesNoMessageThatIsSentMeanwhile(t *testing.T) {
	t.Parallel()
	const n = 1000
	a, b := twoEngines(t, nil)
	require.NoError(t, a.Create(t.Context(), "q", queue.Config{}))
	var sending sync.WaitGroup
	sending.Go(func() {
		for range n {
			if _, err := a.Send(t.Context(), "q", text("x")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	sent := make(chan struct{})
	go func() {
		sending.Wait()
		close(sent)
	}()
	for got, all := 0, false; got < n; {
		rs, err := b.Receive(t.Context(), "q", queue.ReceiveRequest{Max: 10, Visibility: time.Hour})
		require.NoError(t, err)
		got += len(rs)
		if len(rs) > 0 {
			require.Empty(t, b.Delete(t.Context(), "q", receipts(rs)))
			continue
		}
		require.False(t, all, "%d of %d messages were received, and the rest is not found", got, n)
		select {
		case <-sent:
			all = true
		default:
		}
	}
}
