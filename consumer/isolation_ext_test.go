package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// suspects gives the messages that match so many attempts that left no verdict.
func (q *queue) suspects(tries int, match func(i int) bool) {
	q.caps.MaxAttempts = 5
	for i, e := range q.visible {
		if match(i) {
			e.tries = tries
		}
	}
}

// asked is for how many messages each receive has asked.
func (q *queue) asked() []int {
	q.mu.Lock()
	defer q.mu.Unlock()
	ns := make([]int, len(q.receives))
	for i, r := range q.receives {
		ns[i] = r.max
	}
	return ns
}

// beside records the messages that run beside a suspect.
type beside struct {
	mu      sync.Mutex
	running map[string]int // by message, its attempt
	worst   int            // how many ran while a suspect did
	done    int
	took    time.Duration
}

func (b *beside) handle(ctx context.Context, m *handler.Message) error {
	b.mu.Lock()
	b.running[m.ID] = m.Attempt
	b.look()
	b.mu.Unlock()
	<-time.After(b.took)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	delete(b.running, m.ID)
	b.done++
	return nil
}

func (b *beside) look() {
	for _, attempt := range b.running {
		if attempt > 2 {
			b.worst = max(b.worst, len(b.running))
		}
	}
}

func TestASuspectRunsAlone(t *testing.T) {
	for _, tc := range []struct {
		name  string
		tries int // before
		worst int
	}{
		{"at the last attempt", 4, 1},
		{"at the third of five", 2, 1},
		{"not yet", 1, 0},
	} {
		for _, ordered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ordered %v", tc.name, ordered), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := newQueue(0)
					if ordered {
						q = orderedQueue()
						q.fifo = true
						for i := range 60 {
							q.add(1, fmt.Sprint("g", i%20))
						}
					} else {
						q.add(60, "")
					}
					q.suspects(tc.tries, func(i int) bool { return i%4 == 1 })
					b := &beside{running: map[string]int{}, took: 300 * time.Millisecond}
					w := start(t, q, b.handle, consumer.Config{Concurrency: 8})
					<-time.After(2 * time.Minute)
					require.NoError(t, w.stop())
					require.Equal(t, 60, b.done)
					require.Equal(t, tc.worst, b.worst)
					require.Equal(t, tc.worst > 0, w.logs.count("it is handled alone") > 0)
				})
			})
		}
	}
}

// A retry of the handler's own is not a sign of a crash, and those of other processes,
// which look like one, cost little: a tenth, and at the start a reserve of 5 s.
func TestRetriesKeepTheirThroughput(t *testing.T) {
	run := func(t *testing.T, messages, limit int, prepare func(q *queue), retry func(m *handler.Message) bool) int {
		t.Helper()
		var done atomic.Int64
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(messages)
			prepare(q)
			q.caps.MaxAttempts = limit
			w := start(t, q, func(_ context.Context, m *handler.Message) error {
				<-time.After(100 * time.Millisecond)
				if retry(m) {
					return handler.RetryAfter(time.Second, nil)
				}
				done.Add(1)
				return nil
			}, consumer.Config{Concurrency: 3})
			<-time.After(time.Minute)
			w.c.Abort()
			<-w.ended
		})
		return int(done.Load())
	}
	for _, tc := range []struct {
		name     string
		messages int
		prepare  func(q *queue)
		retry    func(m *handler.Message) bool
		least    int // percent of the throughput without isolation
	}{
		{"none", 3_000, func(*queue) {}, func(*handler.Message) bool { return false }, 95},
		{"here, of each twice", 400, func(*queue) {}, func(m *handler.Message) bool { return m.Attempt < 3 }, 95},
		{"elsewhere, of one in twenty", 3_000, func(q *queue) { q.suspects(3, func(i int) bool { return i%20 == 7 }) }, func(*handler.Message) bool { return false }, 75},
		{"elsewhere, of one in two", 3_000, func(q *queue) { q.suspects(3, func(i int) bool { return i%2 == 1 }) }, func(*handler.Message) bool { return false }, 75},
	} {
		t.Run(tc.name, func(t *testing.T) {
			without := run(t, tc.messages, 0, tc.prepare, tc.retry)
			with := run(t, tc.messages, 5, tc.prepare, tc.retry)
			t.Logf("%d without isolation, %d with", without, with)
			require.GreaterOrEqual(t, with*100, without*tc.least)
		})
	}
}

// Neither a suspect nor the messages that run when it comes delay others for long.
func TestIsolationHasBounds(t *testing.T) {
	for _, tc := range []struct {
		name          string
		suspect, rest time.Duration // how long their handlers take
	}{
		{"a long suspect", time.Hour, time.Second},
		{"long others", time.Second, time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(100)
				q.caps.MaxLease, q.caps.MaxExtension = drivers.Unlimited, drivers.Unlimited
				q.suspects(4, func(i int) bool { return i == 10 })
				began := time.Now()
				var suspectAt, lastAt atomic.Int64
				var starts atomic.Int64
				w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, m *handler.Message) error {
					took := tc.rest
					if m.Attempt > 1 {
						suspectAt.Store(int64(time.Since(began)))
						took = tc.suspect
					} else {
						lastAt.Store(int64(time.Since(began)))
						starts.Add(1)
					}
					select {
					case <-time.After(took):
					case <-ctx.Done():
					}
					return nil
				}), consumer.Config{Concurrency: 50})
				<-time.After(5 * time.Minute)
				require.Positive(t, suspectAt.Load())
				require.LessOrEqual(t, time.Duration(suspectAt.Load()), time.Minute)
				require.LessOrEqual(t, time.Duration(lastAt.Load()), 2*time.Minute)
				require.GreaterOrEqual(t, starts.Load(), int64(49))
				w.c.Abort()
				<-w.ended
			})
		})
	}
}

// A suspect whose handler takes hours, or never returns, holds back the other suspects no
// longer than other messages.
func TestALongSuspectDelaysOtherSuspectsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(20)
		q.caps.MaxLease, q.caps.MaxExtension = drivers.Unlimited, drivers.Unlimited
		q.suspects(4, func(i int) bool { return i%4 == 0 })
		var begun atomic.Int64
		w := start(t, q, keeping(handler.KeepOptions{}, func(ctx context.Context, _ *handler.Message) error {
			begun.Add(1)
			return lasting(time.Hour)(ctx, nil)
		}), consumer.Config{Concurrency: 50})
		<-time.After(5 * time.Minute)
		require.EqualValues(t, 20, begun.Load())
		w.c.Abort()
		<-w.ended
	})
}

// After a start, and once a suspect has come, receives ask for few messages: those that
// are received beside a message that kills the process lose an attempt.
func TestReceivesAfterAStartAskForFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(40)
		q.suspects(0, func(int) bool { return false })
		w := start(t, q, lasting(time.Second), consumer.Config{Concurrency: 100, MaxPollers: 1})
		<-time.After(20 * time.Second)
		require.Equal(t, []int{1, 2, 4, 8, 10}, q.asked()[:5])
		<-time.After(time.Minute)
		q.add(30, "")
		<-time.After(25 * time.Second)
		asked := q.asked()
		require.Equal(t, 10, asked[len(asked)-1], "the start is long past")
		require.NoError(t, w.stop())
	})
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(12)
		q.suspects(3, func(int) bool { return true })
		b := &beside{running: map[string]int{}, took: time.Second}
		w := start(t, q, b.handle, consumer.Config{Concurrency: 100})
		<-time.After(15 * time.Second)
		require.NoError(t, w.stop())
		require.Equal(t, 12, b.done)
		require.Equal(t, 1, b.worst)
		for _, n := range q.asked() {
			require.Equal(t, 1, n)
		}
	})
}

// A stop handles suspects as far as its time allows, and gives the others back.
func TestAStopWithSuspects(t *testing.T) {
	for _, drain := range []time.Duration{-1, 5 * time.Second, time.Hour} {
		t.Run(drain.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(60)
				q.suspects(4, func(i int) bool { return i%2 == 0 })
				b := &beside{running: map[string]int{}, took: time.Second}
				w := start(t, q, b.handle, consumer.Config{Concurrency: 30, DrainTimeout: drain})
				<-time.After(2500 * time.Millisecond)
				_ = w.stop()
				require.LessOrEqual(t, b.worst, 1)
				require.Zero(t, w.c.Stats().Running)
			})
		})
	}
}

// Suspects whose time alone is used up do not wait for hours: they run when nothing else
// does, and beside others after a while.
func TestSuspectsWithLongHandlers(t *testing.T) {
	for _, c := range []struct {
		concurrency int
		took, most  time.Duration
	}{
		{1, 5 * time.Second, 6 * time.Minute},           // ideally 5 minutes
		{2, 5 * time.Second, 8 * time.Minute},           // ideally 2.5
		{16, 2 * time.Minute, 20 * time.Minute},         // ideally 7.5, and 5 alone
		{1, 2 * time.Minute, 2*time.Hour + time.Minute}, // ideally 2 hours
	} {
		t.Run(fmt.Sprint(c.concurrency, " of ", c.took), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(60)
				q.suspects(3, func(i int) bool { return i%3 == 0 })
				w := start(t, q, keeping(handler.KeepOptions{}, lasting(c.took)), consumer.Config{Concurrency: c.concurrency, UntilEmpty: true})
				began := time.Now()
				require.NoError(t, <-w.done)
				require.LessOrEqual(t, time.Since(began), c.most)
				require.EqualValues(t, 60, w.c.Stats().Acked)
				require.Zero(t, w.c.Stats().LeasesLost)
			})
		})
	}
}

// watched is a queue whose redrive policy is changed after the consumer has opened it.
type watched struct {
	*queue
	now atomic.Pointer[drivers.Current]
}

func (q *watched) Current() drivers.Current { return *q.now.Load() }

// Isolation follows the queue's policy of this moment, as verdicts do.
func TestIsolationFollowsAChangedPolicy(t *testing.T) {
	five, hundred := drivers.Current{DeadLetterQueue: "dead", MaxAttempts: 5}, drivers.Current{DeadLetterQueue: "dead", MaxAttempts: 100}
	for _, tc := range []struct {
		name            string
		opened, changed drivers.Current
		worst           int
	}{
		{"lowered", hundred, five, 1},
		{"raised", five, hundred, 8},
		{"removed", five, drivers.Current{}, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &watched{queue: newQueue(0)}
				q.caps.MaxAttempts = tc.opened.MaxAttempts
				q.now.Store(&tc.opened)
				b := &beside{running: map[string]int{}, took: 300 * time.Millisecond}
				w := start(t, q, b.handle, consumer.Config{Concurrency: 8})
				<-time.After(time.Minute)
				q.now.Store(&tc.changed)
				q.mu.Lock()
				for i := range 60 {
					e := &entry{seq: i, message: handler.Message{ID: fmt.Sprint("m", i), Body: []byte("body")}}
					if i%4 == 1 {
						e.tries = 2
					}
					q.visible = append(q.visible, e)
				}
				q.wake()
				q.mu.Unlock()
				<-time.After(2 * time.Minute)
				require.NoError(t, w.stop())
				require.Equal(t, 60, b.done)
				require.Equal(t, tc.worst, b.worst)
			})
		})
	}
}

// So do receives: if attempts are counted, messages that wait for their group must fit
// into a drain.
func TestReceivesFollowAChangedPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &watched{queue: orderedQueue()}
		q.caps.MaxAttempts = 0
		q.now.Store(&drivers.Current{})
		w := start(t, q, lasting(0), consumer.Config{Concurrency: 100})
		<-time.After(time.Minute)
		q.now.Store(&drivers.Current{DeadLetterQueue: "dead", MaxAttempts: 3})
		<-time.After(time.Minute)
		require.NoError(t, w.stop())
		asked := q.asked()
		require.Equal(t, 10, asked[0])
		require.Equal(t, 1, asked[len(asked)-1])
	})
}
