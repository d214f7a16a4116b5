package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
)

// ended waits until the latest task of the queue is not running any more.
func (b *bench) ended(name string) queue.Task {
	b.Helper()
	var last queue.Task
	b.until(func() bool {
		ts, err := b.Moves(b.ctx, name)
		require.NoError(b, err)
		require.NotEmpty(b, ts)
		last = ts[0]
		return last.Status != queue.TaskRunning
	})
	return last
}

// letters sends messages to q, which is made, and has them dead-lettered to d.
func (b *bench) letters(ms ...queue.Message) {
	b.Helper()
	b.create("q", queue.Config{DeadLetter: "d"})
	b.create("d", queue.Config{})
	b.send("q", ms...)
	for {
		rs := b.receive("q", 100)
		if len(rs) == 0 {
			return
		}
		rejections := make([]queue.Rejection, len(rs))
		for i := range rs {
			rejections[i].Receipt = rs[i].Receipt
		}
		require.Nil(b, b.Reject(b.ctx, "q", rejections))
	}
}

func TestMoveBackToTheSource(t *testing.T) {
	stores(t, func(b *bench) {
		b.letters(numbered(250)...)
		b.clock.Advance(time.Hour)
		b.change("d", 0, b.receive("d", 10)...)
		started, err := b.StartMove(b.ctx, "d", "", 0)
		require.NoError(b, err)
		require.Equal(b, queue.TaskRunning, started.Status)
		require.Equal(b, int64(250), started.ToMove)
		require.Equal(b, "d", started.Source)
		require.Equal(b, b.clock.Now().UnixNano(), started.Started.UnixNano())
		done := b.ended("d")
		require.Equal(b, queue.TaskCompleted, done.Status)
		require.Equal(b, int64(250), done.Moved)
		require.Equal(b, started.Handle, done.Handle)
		b.counts("d", 0, 0, 0)
		rs := b.receive("q", 250)
		require.Len(b, rs, 250)
		for i, r := range rs {
			require.Equal(b, fmt.Sprint(i), string(r.Body), "in their order")
		}
		require.Equal(b, 1, rs[0].Receives)
		require.Equal(b, b.clock.Now().UnixNano(), rs[0].EnqueuedAt.UnixNano(), "retention begins anew")
		require.Empty(b, rs[0].Source)
	})
}

func TestMoveFailsAtAMessageWithoutSource(t *testing.T) {
	stores(t, func(b *bench) {
		b.letters(text("a", "b")...)
		b.send("d", text("direct")...)
		_, err := b.StartMove(b.ctx, "d", "", 0)
		require.NoError(b, err)
		failed := b.ended("d")
		require.Equal(b, queue.TaskFailed, failed.Status)
		require.Equal(b, int64(2), failed.Moved)
		require.Contains(b, failed.Failure, "no source")
		b.counts("d", 1, 0, 0)

		_, err = b.StartMove(b.ctx, "d", "q", 0)
		require.NoError(b, err)
		require.Equal(b, queue.TaskCompleted, b.ended("d").Status, "with a destination it has somewhere to go")
		b.counts("q", 3, 0, 0)
	})
}

func TestMoveFailsWhereTheSourceIsGone(t *testing.T) {
	stores(t, func(b *bench) {
		b.letters(text("a")...)
		require.NoError(b, b.Remove(b.ctx, "q"))
		_, err := b.StartMove(b.ctx, "d", "", 0)
		require.NoError(b, err)
		require.Contains(b, b.ended("d").Failure, `queue "q" does not exist`)
	})
}

func TestMoveTakesWhatIsVisible(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("from", queue.Config{Ordered: true})
		b.create("to", queue.Config{Ordered: true, DedupeWindow: time.Minute})
		b.send("to", identified("", "1", "seen"))
		b.delete("to", b.receive("to", 1)...)
		b.send("from", text("g/head", "g/blocked", "h/1", "h/2", "held", "free")...)
		b.send("from", queue.Message{Body: []byte("delayed"), Delay: time.Hour}, identified("", "1", "duplicate"))
		for _, r := range b.receive("from", 10) {
			if string(r.Body) != "held" {
				b.change("from", 0, r)
			}
		}
		b.clock.Advance(time.Second)
		require.Equal(b, "head", string(b.receiveOne("from").Body))
		_, err := b.StartMove(b.ctx, "from", "to", 0)
		require.NoError(b, err)
		done := b.ended("from")
		require.Equal(b, int64(4), done.Moved, done)
		require.ElementsMatch(b, []string{"1", "2", "free", "duplicate"}, bodies(b.receive("to", 10)))
		b.counts("from", 1, 2, 1)
	})
}

func TestMoveAtARate(t *testing.T) {
	stores(t, func(b *bench) {
		b.letters(numbered(40)...)
		_, err := b.StartMove(b.ctx, "d", "q", 20)
		require.NoError(b, err)
		moved := func() int64 { return b.stats("q").Visible }
		for want := int64(2); want < 40; want += 2 {
			b.until(func() bool { return moved() == want })
			b.until(func() bool { return b.clock.Waiting() > 0 })
			require.Equal(b, want, moved(), "no faster than asked for")
			b.clock.Advance(100 * time.Millisecond)
		}
		require.Equal(b, queue.TaskCompleted, b.ended("d").Status)
	})
}

func TestCancelMove(t *testing.T) {
	stores(t, func(b *bench) {
		b.letters(numbered(10)...)
		task, err := b.StartMove(b.ctx, "d", "q", 1)
		require.NoError(b, err)
		_, err = b.StartMove(b.ctx, "d", "q", 1)
		require.ErrorIs(b, err, queue.ErrTaskRunning)
		b.until(func() bool { return b.stats("q").Visible == 1 && b.clock.Waiting() > 0 })
		canceled, err := b.CancelMove(b.ctx, task.Handle)
		require.NoError(b, err)
		require.Equal(b, int64(1), canceled.Moved)
		require.Equal(b, queue.TaskCanceled, canceled.Status)
		_, err = b.CancelMove(b.ctx, task.Handle)
		require.ErrorIs(b, err, queue.ErrTaskNotFound)
		_, err = b.CancelMove(b.ctx, "nonsense")
		require.ErrorIs(b, err, queue.ErrTaskNotFound)
		b.clock.Advance(time.Hour)
		b.counts("d", 9, 0, 0)

		for range 11 {
			_, err = b.StartMove(b.ctx, "d", "q", 0)
			require.NoError(b, err)
			b.ended("d")
		}
		b.counts("d", 0, 0, 0)
		tasks, err := b.Moves(b.ctx, "d")
		require.NoError(b, err)
		require.Len(b, tasks, 10)
	})
}

func TestMoveIsRefused(t *testing.T) {
	stores(t, func(b *bench) {
		b.create("q", queue.Config{})
		for _, c := range []struct {
			from, to string
			want     error
		}{{"none", "q", queue.ErrNotFound}, {"q", "none", queue.ErrNotFound}, {"q", "q", queue.ErrConfig}} {
			_, err := b.StartMove(b.ctx, c.from, c.to, 0)
			require.ErrorIs(b, err, c.want)
		}
	})
}
