package service_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/control"
	controlopen "github.com/sluice-go/sluice/middleware/control/open"
	"github.com/sluice-go/sluice/service"
)

// counted are queues in memory that count the requests.
type counted struct {
	mem.Opener
	drivertest.Flaky
}

func (c *counted) OpenSource(ctx context.Context, u *url.URL, o *drivers.Options) (drivers.Source, error) {
	s, err := c.Opener.OpenSource(ctx, u, o)
	if err != nil {
		return nil, err
	}
	return c.Source(s), nil
}

// Source is ambiguous otherwise.
func (c *counted) Source(s drivers.Source) drivers.Source { return c.Flaky.Source(s) }

// Sink is ambiguous otherwise.
func (c *counted) Sink(s drivers.Sink) drivers.Sink { return c.Flaky.Sink(s) }

func (c *counted) receives() int { return c.Calls(drivertest.OpReceive) }

// operated is a rig whose control store the test may use, with queues that count.
func operated(t *testing.T, queues drivers.Opener, text string, change func(o *service.Options)) *rig {
	t.Helper()
	r := newRig(t, text, func(o *service.Options) {
		o.Mux, o.OpenControl = drivers.NewMux(queues), controlopen.URL
		if change != nil {
			change(o)
		}
	})
	r.mux = drivers.NewMux(queues)
	return r
}

var alice = control.Change{By: "alice", At: time.Date(2026, 11, 29, 19, 0, 0, 0, time.UTC), Reason: "migration"}

func update(t *testing.T, url string, change func(s *control.State)) {
	t.Helper()
	store, err := controlopen.URL(t.Context(), url)
	require.NoError(t, err)
	_, err = control.Update(t.Context(), store, "orders", change)
	require.NoError(t, err)
	require.NoError(t, store.Close())
}

func pause(t *testing.T, url string) {
	t.Helper()
	update(t, url, func(s *control.State) { s.Paused, s.Pause = true, alice })
}

func resume(t *testing.T, url string) {
	t.Helper()
	update(t, url, func(s *control.State) { s.Paused, s.Pause = false, alice })
}

// pass lets time go by, and waits until nothing happens any more.
func pass(d time.Duration) { <-time.After(d); synctest.Wait() }

// onSQS returns an opener of SQS in this process with the queue orders, in which
// ReceiveMessage is counted.
func onSQS(t *testing.T) (drivers.Opener, func() int) {
	server, err := sqstest.New(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	c := &aws.Config{
		BaseEndpoint: aws.String(server.URL()), HTTPClient: server.HTTPClient(), Region: sqstest.DefaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
	}
	_, err = awssqs.NewFromConfig(*c).CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("orders")})
	require.NoError(t, err)
	return &sqs.Opener{AWS: c}, func() int { return server.Count("ReceiveMessage") }
}

// Three workers that are paused make no receive, finish what they had begun, stay paused
// after a restart of all, and resume after another.
func TestPausedWorkersReceiveNothing(t *testing.T) {
	t.Parallel()
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			queues := &counted{}
			pausedWorkers(t, "mem://orders", queues, queues.receives)
		})
	})
	t.Run("SQS", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			opener, receives := onSQS(t)
			pausedWorkers(t, "awssqs:///orders", opener, receives)
		})
	})
}

func pausedWorkers(t *testing.T, url string, queues drivers.Opener, receives func() int) {
	store := "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "control.json"))
	text := `
service: {control: "` + store + `"}
queues:
  orders:
    url: ` + url + `
    consumer: {concurrency: 4}
`
	release := make(chan struct{})
	var began, ended atomic.Int32
	h := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		began.Add(1)
		if string(m.Body) == "slow" {
			<-release
		}
		ended.Add(1)
		return nil
	})
	start := func() (rigs []*rig, stop func()) {
		var stops []func() error
		for range 3 {
			r := operated(t, queues, text, nil)
			r.Handle("orders", h)
			rigs, stops = append(rigs, r), append(stops, r.run(t))
		}
		return rigs, func() {
			for i, stop := range stops {
				require.NoError(t, stop(), rigs[i].log)
			}
		}
	}
	workers, stop := start()
	for range 3 {
		workers[0].send(t, "orders", body("slow"))
	}
	pass(time.Minute)
	require.EqualValues(t, 3, began.Load())

	pause(t, store)
	pass(5 * time.Second)
	before := receives()
	for range 20 { // receives that were on their way may bring some
		workers[0].send(t, "orders", body("quick"))
	}
	pass(time.Minute)
	require.Equal(t, before, receives(), "paused workers receive nothing")
	require.EqualValues(t, 3, began.Load(), "and begin nothing")
	for _, w := range workers {
		answer := httptest.NewRecorder()
		consumer.Readiness(w.Health).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
		require.Equal(t, 200, answer.Code)
		require.Contains(t, answer.Body.String(), `"paused":true,"paused_by":"paused by alice since 2026-11-29T19:00:00Z (migration)"`)
		require.Equal(t, 1, strings.Count(w.log.String(), `msg="paused: nothing is received until sluice resume" queue=orders by=alice`), w.log)
	}
	close(release)
	pass(time.Second)
	require.EqualValues(t, 3, ended.Load(), "what had begun is finished")
	stop()

	before = receives()
	workers, stop = start()
	pass(time.Minute)
	require.Equal(t, before, receives(), "a restart does not end the pause")
	require.True(t, workers[2].Health().Queues[0].Paused)
	stop()
	_, stop = start()
	resume(t, store)
	pass(10 * time.Second)
	require.EqualValues(t, 23, ended.Load())
	stop()
}

// A limit holds within five seconds, and ends as soon.
func TestALiveLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "control.json"))
		r := operated(t, &counted{}, `
queues: {orders: {url: "mem://orders", consumer: {concurrency: 8}}}
`, func(o *service.Options) { o.Control = store })
		var running, most, handled atomic.Int32
		r.Handle("orders", handler.HandlerFunc(func(context.Context, *handler.Message) error {
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-time.After(100 * time.Millisecond)
			handled.Add(1)
			return nil
		}))
		ms := make([]*handler.Message, 5000)
		for i := range ms {
			ms[i] = body("x")
		}
		r.send(t, "orders", ms...)
		stop := r.run(t)
		measure := func() (concurrency, count int) {
			pass(5 * time.Second)
			most.Store(0)
			before := handled.Load()
			pass(10 * time.Second)
			return int(most.Load()), int(handled.Load() - before)
		}
		n, count := measure()
		require.Equal(t, 8, n)
		require.Greater(t, count, 600)
		update(t, store, func(s *control.State) { s.Concurrency, s.Limit = 2, alice })
		n, count = measure()
		require.Equal(t, 2, n)
		require.InDelta(t, 200, count, 40, "the two are in use")
		require.Equal(t, []string{"limited to 2 handlers by alice since 2026-11-29T19:00:00Z (migration)"}, r.Health().Queues[0].Notes)
		update(t, store, func(s *control.State) { s.Concurrency, s.Rate, s.Per = 0, 5, time.Second })
		_, count = measure()
		require.InDelta(t, 50, count, 6)
		update(t, store, func(s *control.State) { s.Rate, s.Per = 0, 0 })
		n, count = measure()
		require.Equal(t, 8, n)
		require.Greater(t, count, 600)
		require.Empty(t, r.Health().Queues[0].Notes)
		require.NoError(t, stop())
	})
}

// A fragile store fails as a test says.
type fragile struct {
	mu    sync.Mutex
	texts map[string]string
	fault error
	hang  chan struct{} // not nil: Load waits for it
}

func (f *fragile) set(fault error, hang chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.hang = fault, hang
}

func (f *fragile) Load(context.Context) (map[string]string, error) {
	f.mu.Lock()
	texts, fault, hang := f.texts, f.fault, f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return texts, fault
}

func (f *fragile) Swap(context.Context, string, string, string) (bool, error) { return false, f.fault }
func (f *fragile) String() string                                             { return "fragile" }
func (f *fragile) Close() error                                               { return nil }

// While the store can't be read, queues stay as they were; that is said once, and shown.
func TestAnOutageOfTheControlStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fragile{texts: map[string]string{"orders": `{"paused":true,"pause":{"by":"alice","at":"2026-11-29T19:00:00Z"}}`}}
		queues := &counted{}
		var down, up atomic.Int32
		r := operated(t, queues, `queues: {orders: {url: "mem://orders"}}`, func(o *service.Options) {
			o.Control = "fragile://"
			o.OpenControl = func(context.Context, string) (*control.Opened, error) {
				return &control.Opened{Store: store, Closer: store}, nil
			}
			o.Observers = []handler.Observer{observe(func(e handler.Event) {
				switch e.Kind {
				case handler.EventStoreDown:
					down.Add(1)
				case handler.EventStoreUp:
					up.Add(1)
				}
			})}
		})
		r.Handle("orders", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
		stop := r.run(t)
		pass(time.Minute)
		require.Empty(t, r.Health().Queues[0].Notes[1:])
		hang := make(chan struct{})
		for _, outage := range []func(){func() { store.set(errors.New("connection refused"), nil) }, func() { store.set(nil, hang) }} {
			outage()
			pass(time.Minute)
			require.Zero(t, queues.receives(), "it stays paused")
			h := r.Health()
			require.True(t, h.Ready())
			require.Len(t, h.Queues[0].Notes, 2)
			require.Contains(t, h.Queues[0].Notes[1], "as last known: the control store can't be read since 2000-01-01T00:")
		}
		require.Equal(t, 1, strings.Count(r.log.String(), "the control store can't be read: queues stay paused"), r.log)
		require.EqualValues(t, 1, down.Load())
		close(hang)
		store.set(nil, nil)
		pass(5 * time.Second)
		require.Len(t, r.Health().Queues[0].Notes, 1)
		require.Contains(t, r.log.String(), "the control store can be read again")
		require.EqualValues(t, 1, up.Load())
		require.NoError(t, stop())
	})
}

type observe func(e handler.Event)

func (f observe) Observe(e handler.Event) { f(e) }

// A service that can't know whether a queue is paused does not run.
func TestAControlStoreThatIsNotThereAtTheStart(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	for name, c := range map[string]struct {
		store *fragile
		text  string
		open  bool
		want  string
		usage bool
	}{
		"outage":        {&fragile{fault: errors.New("connection refused")}, "fragile://", true, "a queue may be paused there", false},
		"invalid state": {&fragile{texts: map[string]string{"orders": "x"}}, "fragile://", true, `the state of queue "orders" can't be read`, false},
		"no opener":     {nil, "fragile://", false, "set service.Options.OpenControl", true},
		"wrong URL":     {nil, "filee:///x", true, `did you mean "file"?`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queues := &counted{}
			r := operated(t, queues, "service: {control: '"+c.text+"'}\nqueues: {orders: {url: 'mem://orders'}}", func(o *service.Options) {
				if !c.open {
					o.OpenControl = nil
				} else if c.store != nil {
					o.OpenControl = func(context.Context, string) (*control.Opened, error) {
						return &control.Opened{Store: c.store, Closer: c.store}, nil
					}
				}
			})
			r.Handle("orders", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
			err := r.Run(t.Context())
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.usage, service.ExitStatus(err) == service.StatusUsage)
			require.Zero(t, queues.receives())
		})
	}
}

// A worker that is replaced while it starts, with a store that does not answer, has not
// failed.
func TestAStopWhileItStarts(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	queues := &counted{}
	r := operated(t, queues, "service: {control: 'slow://'}\nqueues: {orders: {url: 'mem://orders'}}", func(o *service.Options) {
		o.OpenControl = func(ctx context.Context, _ string) (*control.Opened, error) {
			stop()
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	r.Handle("orders", handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	require.NoError(t, r.Run(ctx))
	require.Zero(t, queues.receives())
}

// Without a store of its own, control is beside the queue's marks; off has none.
func TestControlBesideTheIdempotencyStore(t *testing.T) {
	t.Parallel()
	for _, off := range []bool{false, true} {
		r := newRig(t, `
queues: {orders: {url: "mem://orders", consumer: {idempotency: {store: "sqlite://${DIR}/shop.db"}}}}
`, func(o *service.Options) {
			if off {
				o.Control = service.NoControl
			}
		})
		q, err := r.conf.Queue("orders")
		require.NoError(t, err)
		pause(t, q.Consumer.Idempotency.Store)
		var handled atomic.Int32
		r.Handle("orders", handler.HandlerFunc(func(context.Context, *handler.Message) error { handled.Add(1); return nil }))
		r.send(t, "orders", body("x"))
		stop := r.run(t)
		if off {
			require.Eventually(t, func() bool { return handled.Load() == 1 }, patience, 5*time.Millisecond)
		} else {
			require.Eventually(t, func() bool { qs := r.Health().Queues; return len(qs) == 1 && qs[0].Paused }, patience, 5*time.Millisecond)
			require.Contains(t, r.log.String(), "control=SQLite table sluice_control")
			resume(t, q.Consumer.Idempotency.Store)
			require.Eventually(t, func() bool { return handled.Load() == 1 }, patience, 5*time.Millisecond)
		}
		require.NoError(t, stop())
	}
}
