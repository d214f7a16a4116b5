package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware"
)

// These tests run handler.Batch in the standard stack under the consumer, on a
// queue of each kind.

// bulkQueue is a queue that was made for a test.
type bulkQueue struct {
	mux                *drivers.Mux
	sink, source, dead string // URLs
}

// A kind makes a queue of its kind. A lease of zero is the queue's own. All
// kinds but Pub/Sub, which the environment names, have a server of their own.
type kind struct {
	name     string
	minLease time.Duration
	queue    func(t *testing.T, lease time.Duration, ordered bool) bulkQueue
}

var kinds = []kind{
	{"mem", 5 * time.Second, func(_ *testing.T, lease time.Duration, _ bool) bulkQueue {
		u := "mem://orders"
		return bulkQueue{all.Mux(), u, u + query(lease, "?"), "mem://orders-dlq"}
	}},
	{"sqlite", 5 * time.Second, func(t *testing.T, lease time.Duration, _ bool) bulkQueue {
		u := "sqlite://" + filepath.ToSlash(t.TempDir()) + "/q.db?queue=orders"
		return bulkQueue{all.Mux(), u, u + query(lease, "&"), u + "-dlq"}
	}},
	{"sqs", 5 * time.Second, func(t *testing.T, lease time.Duration, ordered bool) bulkQueue {
		s, err := sqstest.NewServer(nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		suffix := ""
		if ordered {
			suffix = ".fifo"
		}
		q := bulkQueue{mux: all.Mux(), sink: "awssqs:///orders" + suffix + "?endpoint=" + s.URL(), dead: "awssqs:///orders-dlq" + suffix + "?endpoint=" + s.URL()}
		q.source = q.sink + query(lease, "&")
		_, err = admin.Apply(t.Context(), q.mux, admin.Target{URL: q.sink, Spec: &provision.Spec{
			Name: "orders" + suffix, FIFO: ordered, VisibilityTimeout: 30 * time.Second, DeadLetter: &provision.DeadLetter{},
		}}, false)
		require.NoError(t, err)
		return q
	}},
	{"pubsub", 10 * time.Second, func(t *testing.T, lease time.Duration, ordered bool) bulkQueue {
		id := testserver.Name(t)
		require.NoError(t, fake.Create(t.Context(), pubsubtest.Queue{
			Project: "p", ID: id, MaxAttempts: 5, Ordered: ordered, AckDeadlineSeconds: int32(lease / time.Second),
		}))
		return bulkQueue{
			all.Mux(), "gcppubsub://projects/p/topics/" + id, "gcppubsub://projects/p/subscriptions/" + id, "gcppubsub://projects/p/subscriptions/" + id + "-dlq",
		}
	}},
}

func query(lease time.Duration, before string) string {
	if lease == 0 {
		return ""
	}
	return before + "visibility_timeout=" + lease.String()
}

// onEachKind runs a test on a queue of each kind, all at the same time.
func onEachKind(t *testing.T, ordered bool, lease func(least time.Duration) time.Duration, test func(t *testing.T, q bulkQueue, lease time.Duration)) {
	t.Helper()
	testserver.Credentials(t)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			l := time.Duration(0)
			if lease != nil {
				l = lease(k.minLease)
			}
			test(t, k.queue(t, l, ordered), l)
		})
	}
}

// bulkWriter records batches and gives each message the verdict that its body
// asks for.
type bulkWriter struct {
	mu      sync.Mutex
	batches [][]string
	times   map[string]int // by body
}

// HandleBatch gives each message its own verdict.
func (w *bulkWriter) HandleBatch(_ context.Context, ms []*handler.Message) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.times == nil {
		w.times = make(map[string]int)
	}
	bodies, errs := make([]string, len(ms)), make([]error, len(ms))
	for i, m := range ms {
		body := strings.TrimRight(string(m.Body), ".")
		bodies[i] = body
		w.times[body]++
		switch {
		case strings.HasPrefix(body, "again") && w.times[body] == 1:
			errs[i] = handler.RetryAfter(time.Second, errors.New("later"))
		case strings.HasPrefix(body, "reject"):
			errs[i] = handler.Reject(errors.New("wrong"))
		case strings.HasPrefix(body, "drop"):
			errs[i] = handler.Drop(errors.New("stale"))
		}
	}
	w.batches = append(w.batches, bodies)
	return errs
}

func (w *bulkWriter) sizes() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sizes []int
	for _, b := range w.batches {
		sizes = append(sizes, len(b))
	}
	slices.Sort(sizes)
	return sizes
}

// bulkRun is a consumer that runs.
type bulkRun struct {
	stop    func() error
	settled *outcomes
}

// outcomes counts what was settled, by action.
type outcomes struct {
	mu      sync.Mutex
	by      map[handler.Action]int
	lost    int
	changed chan struct{}
}

// Observe takes note of what was settled, and of leases that were lost.
func (o *outcomes) Observe(e handler.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e.Kind {
	case handler.EventSettled:
		if e.Err == nil {
			o.by[e.Action]++
		}
	case handler.EventLeaseLost, handler.EventLateVerdict:
		o.lost++
	default:
		return
	}
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// wait waits until n messages are done with.
func (o *outcomes) wait(t *testing.T, n int) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		o.mu.Lock()
		done := o.by[handler.ActionAck] + o.by[handler.ActionDrop] + o.by[handler.ActionDeadLetter]
		o.mu.Unlock()
		if done >= n {
			return
		}
		select {
		case <-o.changed:
		case <-limit:
			require.FailNow(t, "not all messages are done with", "%d of %d", done, n)
		}
	}
}

func (q bulkQueue) send(t *testing.T, ms ...*handler.Message) {
	t.Helper()
	sink, err := q.mux.OpenSink(t.Context(), q.sink, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, sink.Close()) }()
	for chunk := range slices.Chunk(ms, min(10, sink.Capabilities().MaxSend)) {
		require.Nil(t, sink.Send(t.Context(), chunk))
	}
}

// run runs a consumer with the batch handler in the standard stack.
func (q bulkQueue) run(t *testing.T, h handler.BatchHandler, b *handler.BatchConfig, c consumer.Config) *bulkRun {
	t.Helper()
	source, err := q.mux.OpenSource(t.Context(), q.source, nil)
	require.NoError(t, err)
	gathered, err := handler.Batch(h, b)
	require.NoError(t, err)
	stack, err := middleware.Standard(nil)
	require.NoError(t, err)
	r := &bulkRun{settled: &outcomes{by: make(map[handler.Action]int), changed: make(chan struct{}, 1)}}
	c.Observers = append(c.Observers, r.settled)
	run, err := consumer.New(source, stack.Handler(gathered), &c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = r.stop() }) // of a test that failed
	return r
}

// texts are messages of a size each.
func texts(size int, bodies ...string) []*handler.Message {
	ms := make([]*handler.Message, len(bodies))
	for i, b := range bodies {
		ms[i] = &handler.Message{Body: []byte(b + strings.Repeat(".", max(0, size-len(b)))), Group: fmt.Sprint("g", i)}
	}
	return ms
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(prefix, i)
	}
	return names
}

func TestBatchesCloseByCountBytesOrWaitOnAnyQueue(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		c     handler.BatchConfig
		conc  int
		exact int // the size of every batch; zero: any up to the most
		most  int
	}{
		{"count", handler.BatchConfig{MaxCount: 4, MaxWait: time.Hour}, 16, 4, 4},
		{"bytes", handler.BatchConfig{MaxBytes: 300, MaxWait: time.Hour}, 16, 3, 3},
		{"wait", handler.BatchConfig{MaxCount: 1000, MaxWait: 200 * time.Millisecond}, 16, 0, 12},
		{"concurrency below the count", handler.BatchConfig{MaxCount: 1000, MaxWait: 50 * time.Millisecond}, 2, 0, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			onEachKind(t, false, nil, func(t *testing.T, q bulkQueue, _ time.Duration) {
				q.send(t, texts(100, numbered("order", 12)...)...)
				w := &bulkWriter{}
				r := q.run(t, w, &tc.c, consumer.Config{Concurrency: tc.conc})
				r.settled.wait(t, 12)
				require.NoError(t, r.stop())
				require.Equal(t, 12, r.settled.by[handler.ActionAck])
				total := 0
				for _, n := range w.sizes() {
					total += n
					require.LessOrEqual(t, n, tc.most)
					if tc.exact > 0 {
						require.Equal(t, tc.exact, n)
					}
				}
				require.Equal(t, 12, total)
			})
		})
	}
}

func TestOneBatchCarriesEveryVerdictOnAnyQueue(t *testing.T) {
	t.Parallel()
	onEachKind(t, false, nil, func(t *testing.T, q bulkQueue, _ time.Duration) {
		names := slices.Concat(numbered("ack", 3), numbered("again", 2), numbered("reject", 2), []string{"drop0"})
		q.send(t, texts(0, names...)...)
		w := &bulkWriter{}
		r := q.run(t, w, &handler.BatchConfig{MaxCount: len(names), MaxWait: 5 * time.Second}, consumer.Config{})
		r.settled.wait(t, len(names))
		require.NoError(t, r.stop())
		require.Equal(t, map[handler.Action]int{handler.ActionAck: 5, handler.ActionRetry: 2, handler.ActionDeadLetter: 2, handler.ActionDrop: 1}, r.settled.by)
		require.Len(t, w.batches[0], len(names), "they were in one batch")
		for _, name := range names {
			want := 1
			if strings.HasPrefix(name, "again") {
				want = 2
			}
			require.Equal(t, want, w.times[name], name)
		}
		require.ElementsMatch(t, []string{"reject0", "reject1"}, q.letters(t, 2))
	})
}

// letters receives the dead letters.
func (q bulkQueue) letters(t *testing.T, n int) []string {
	t.Helper()
	dead, err := q.mux.OpenSource(t.Context(), q.dead, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, dead.Close()) }()
	var bodies []string
	require.Eventually(t, func() bool {
		ds, err := dead.Receive(t.Context(), 10, time.Second)
		require.NoError(t, err)
		for _, d := range ds {
			bodies = append(bodies, string(d.Message.Body))
		}
		return len(bodies) >= n
	}, time.Minute, time.Millisecond)
	return bodies
}

func TestABatchHasOneMessageOfAGroupAndKeepsItsOrder(t *testing.T) {
	t.Parallel()
	onEachKind(t, true, nil, func(t *testing.T, q bulkQueue, _ time.Duration) {
		var ms []*handler.Message
		for i := range 4 {
			for _, g := range []string{"a", "b", "c"} {
				name := fmt.Sprint("ack-", g, i)
				if g == "b" && i == 1 {
					name = "again-b1"
				}
				ms = append(ms, &handler.Message{Body: []byte(name), Group: g})
			}
		}
		q.send(t, ms...)
		w := &bulkWriter{}
		r := q.run(t, w, &handler.BatchConfig{MaxCount: 8, MaxWait: 50 * time.Millisecond}, consumer.Config{})
		r.settled.wait(t, len(ms))
		require.NoError(t, r.stop())
		order := map[byte][]byte{}
		for _, b := range w.batches {
			seen := map[byte]bool{}
			for _, name := range b {
				group, n := name[len(name)-2], name[len(name)-1]
				require.False(t, seen[group], "two of a group in one batch: %v", b)
				seen[group] = true
				order[group] = append(order[group], n)
			}
		}
		require.Equal(t, "0123", string(order['a']))
		require.Equal(t, "01123", string(order['b']), "the one that failed comes again before the later ones")
		require.Equal(t, "0123", string(order['c']))
	})
}

func TestALeaseIsKeptWhileABatchGathers(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	least := func(least time.Duration) time.Duration { return least }
	onEachKind(t, false, least, func(t *testing.T, q bulkQueue, lease time.Duration) {
		q.send(t, texts(0, numbered("ack", 3)...)...)
		w := &bulkWriter{}
		// It gathers for longer than a lease.
		r := q.run(t, w, &handler.BatchConfig{MaxCount: 100, MaxWait: lease * 3 / 2}, consumer.Config{})
		r.settled.wait(t, 3)
		require.NoError(t, r.stop())
		require.Zero(t, r.settled.lost)
		require.Equal(t, map[string]int{"ack0": 1, "ack1": 1, "ack2": 1}, w.times)
	})
}

func TestAShutdownFinishesTheBatchThatGathers(t *testing.T) {
	t.Parallel()
	onEachKind(t, false, nil, func(t *testing.T, q bulkQueue, _ time.Duration) {
		q.send(t, texts(0, numbered("ack", 3)...)...)
		w := &bulkWriter{}
		started := &starts{left: 3, all: make(chan struct{})}
		r := q.run(t, w, &handler.BatchConfig{MaxCount: 100, MaxWait: 3 * time.Second}, consumer.Config{Observers: []handler.Observer{started}})
		<-started.all
		require.NoError(t, r.stop())
		require.Equal(t, []int{3}, w.sizes())
		require.Equal(t, map[handler.Action]int{handler.ActionAck: 3}, r.settled.by)
	})
}

func TestAShutdownThatIsShorterThanTheWaitGivesTheBatchBack(t *testing.T) {
	t.Parallel()
	onEachKind(t, false, nil, func(t *testing.T, q bulkQueue, _ time.Duration) {
		q.send(t, texts(0, numbered("ack", 3)...)...)
		w := &bulkWriter{}
		started := &starts{left: 3, all: make(chan struct{})}
		r := q.run(t, w, &handler.BatchConfig{MaxCount: 100, MaxWait: time.Hour},
			consumer.Config{DrainTimeout: 100 * time.Millisecond, Observers: []handler.Observer{started}})
		<-started.all
		require.ErrorIs(t, r.stop(), consumer.ErrDrainTimeout, "MaxWait counts towards the time to drain")
		require.Empty(t, w.sizes(), "nothing was handled")
		require.Equal(t, map[handler.Action]int{handler.ActionRetry: 3}, r.settled.by)

		again := q.run(t, w, &handler.BatchConfig{MaxCount: 3, MaxWait: time.Hour}, consumer.Config{})
		again.settled.wait(t, 3)
		require.NoError(t, again.stop())
		require.Equal(t, map[string]int{"ack0": 1, "ack1": 1, "ack2": 1}, w.times)
	})
}

// starts reports when so many handlers have been started.
type starts struct {
	mu   sync.Mutex
	left int
	all  chan struct{}
}

// Observe counts starts.
func (s *starts) Observe(e handler.Event) {
	if e.Kind != handler.EventStarted {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left == 0 {
		close(s.all)
	}
}
