package crashtest

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/dynamotable"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/producer"
)

// effectsOf counts effects by key.
type effectsOf struct {
	mu sync.Mutex
	n  map[string]int
}

func (e *effectsOf) add(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n == nil {
		e.n = make(map[string]int)
	}
	e.n[key]++
}

func (e *effectsOf) keys() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.n)
}

// felt counts the messages that were put off because the store failed.
type felt struct{ n atomic.Int64 }

func (f *felt) Observe(e handler.Event) {
	if e.Kind == handler.EventPostponed && e.Err != nil && strings.Contains(e.Err.Error(), "idempotency") {
		f.n.Add(1)
	}
}

// through handles messages, each sent twice, under the store at url, and has
// outage happen when a part is done. It ends the outage once that was felt. Each message
// must have its effect, at least once; the queue must be empty in the end and the
// dead-letter queue too.
func through(t *testing.T, url string, outage func(t *testing.T) (end func())) {
	t.Helper()
	const messages = 300
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	queue := "sqlite://" + t.TempDir() + "/queue.db?queue=jobs&visibility_timeout=3s&max_attempts=0"
	mux := all.Mux()
	sink, err := mux.OpenSink(ctx, queue, nil)
	require.NoError(t, err)
	p, err := producer.New(sink, nil)
	require.NoError(t, err)
	for i := range messages {
		require.NoError(t, p.Send(ctx, &handler.Message{DedupeID: id(i)}, &handler.Message{DedupeID: id(i)}))
	}
	require.NoError(t, p.Close())

	store, err := open.URL(ctx, url)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	outages := &felt{}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	once, err := idempotency.New(store, &idempotency.Config{Namespace: testserver.Name(t), RetryMax: time.Second, Logger: log})
	require.NoError(t, err)
	retry, err := backoff.New(&backoff.Config{Min: 50 * time.Millisecond, Max: time.Second})
	require.NoError(t, err)
	beat, err := heartbeat.New(nil)
	require.NoError(t, err)
	var done effectsOf
	h := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if err := sleep.For(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		done.add(m.DedupeID)
		return nil
	})
	source, err := mux.OpenSource(ctx, queue, nil)
	require.NoError(t, err)
	watch, err := mux.OpenSource(ctx, queue, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, watch.Close()) }()
	c, err := consumer.New(source, handler.Chain(h, once, retry, beat), &consumer.Config{Concurrency: 8, Logger: log, Observers: []handler.Observer{outages}})
	require.NoError(t, err)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()

	require.Eventually(t, func() bool { return done.keys() >= messages/4 }, 2*time.Minute, time.Millisecond)
	require.Less(t, done.keys(), messages, "the outage comes too late to prove anything")
	end := outage(t)
	require.NoError(t, sleep.For(ctx, 3*time.Second))
	require.Eventually(t, func() bool { return outages.n.Load() > 0 }, 30*time.Second, time.Millisecond, "no message has met the outage")
	end()
	var d drivers.Depth
	require.Eventually(t, func() bool {
		var err error
		d, err = watch.(drivers.Inspector).Depth(ctx)
		return err == nil && d.Visible+d.InFlight+d.Delayed == 0
	}, 3*time.Minute, 50*time.Millisecond, "it does not recover by itself")
	stop()
	require.NoError(t, <-ended)
	require.Equal(t, messages, done.keys(), "a message was acked without its effect")
	require.Zero(t, d.DeadLetters)
	doubled := 0
	for _, n := range done.n {
		if n > 1 {
			doubled++
		}
	}
	// Handlers that had their effect when the store went away could not be marked.
	require.LessOrEqual(t, doubled, 8, "more effects were doubled than handlers were at work")
}

func TestTheStoreIsDownForAWhile(t *testing.T) {
	suite.Only(t)
	down := func(s *testserver.Server) func(t *testing.T) func() {
		return func(t *testing.T) func() {
			t.Helper()
			s.Stop(t)
			return func() { s.Start(t) }
		}
	}
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		s := testserver.OwnRedis(t)
		through(t, s.URL+"/0?max_retries=-1", down(s))
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		s := testserver.OwnPostgres(t)
		through(t, s.URL, down(s))
	})
	t.Run("dynamodb", func(t *testing.T) {
		s := testserver.OwnDynamoDB(t)
		// moto keeps its tables in memory, so that the test breaks the way to the
		// server and not the server.
		proxy := newProxy(t, s.Addr())
		t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://"+proxy.Listen)
		table, _ := dynamotable.New(t, s.URL)
		through(t, "dynamodb://"+table, func(t *testing.T) func() {
			proxy.Stop()
			return func() { require.NoError(t, proxy.Start()) }
		})
	})
}

func TestTheWayToTheStoreIsBad(t *testing.T) {
	suite.Only(t)
	for _, c := range []struct {
		name, kind string
		toxic      string
	}{
		{"resets", "reset_peer", `{"type":"reset_peer","attributes":{"timeout":20}}`},
		{"latency", "latency", `{"type":"latency","attributes":{"latency":300,"jitter":300}}`},
		{"nothing comes back", "timeout", `{"type":"timeout","attributes":{"timeout":0}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testserver.OwnRedis(t)
			proxy := newProxy(t, s.Addr())
			through(t, "redis://"+proxy.Listen+"/0?max_retries=-1&read_timeout=500ms&dial_timeout=1s", func(t *testing.T) func() {
				_, err := proxy.Toxics.AddToxicJson(strings.NewReader(strings.Replace(c.toxic, "{", `{"name":"bad","stream":"downstream","toxicity":1,`, 1)))
				require.NoError(t, err)
				return func() { require.NoError(t, proxy.Toxics.RemoveToxic(t.Context(), "bad")) }
			})
		})
	}
}

func newProxy(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, testserver.Name(t), "127.0.0.1:0", upstream)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return p
}

// TestSigtermDrains: a worker that gets SIGTERM in the middle of its work
// leaves nothing acked that was not handled, and nothing handled unacked.
func TestSigtermDrains(t *testing.T) {
	suite.Only(t)
	onQueues(t, func(t *testing.T, queue string) {
		const messages = 2000
		url := testserver.Postgres(t).URL
		db, err := sql.Open("pgx", url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		_, err = db.ExecContext(t.Context(), `CREATE TABLE effects (id text NOT NULL)`)
		require.NoError(t, err)
		sink, err := all.Mux().OpenSink(t.Context(), queue, nil)
		require.NoError(t, err)
		p, err := producer.New(sink, nil)
		require.NoError(t, err)
		var ms []*handler.Message
		for i := range messages {
			ms = append(ms, &handler.Message{DedupeID: id(i)})
		}
		require.NoError(t, p.Send(t.Context(), ms...))
		require.NoError(t, p.Close())

		rows := func() int {
			n, err := count(t.Context(), db, `SELECT count(*) FROM effects`)
			require.NoError(t, err)
			return n
		}
		f := newFleet(t, 1, envQueue+"="+queue, envStore+"="+url, envEffects+"=1", envTakes+"=2ms")
		require.Eventually(t, func() bool { return rows() > messages/10 }, time.Minute, time.Millisecond)
		f.stop()
		handled := rows()
		require.Less(t, handled, messages, "it was stopped too late to prove anything")

		source, err := all.Mux().OpenSource(t.Context(), queue, nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, source.Close()) }()
		d, err := source.(drivers.Inspector).Depth(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, messages-handled, d.Visible+d.InFlight+d.Delayed, "%d were handled", handled)
		require.Zero(t, d.InFlight, "what was not started was not given back")
	})
}
