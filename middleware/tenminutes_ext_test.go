package middleware_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/httphandler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// Ten minutes of an outage, or a failover, with a thousand messages and a queue that
// allows two attempts: no letter, and each effect once. All in virtual time.

// effectCounts counts what was done, by the message's body.
type effectCounts struct {
	mu    sync.Mutex
	times map[string]int
}

func (e *effectCounts) add(body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.times == nil {
		e.times = make(map[string]int)
	}
	e.times[body]++
}

// trouble is a time in which something does not work.
type trouble struct{ from, to time.Time }

func soon() trouble {
	from := time.Now().Add(time.Second)
	return trouble{from, from.Add(10 * time.Minute)}
}

func (t trouble) now() bool { return !time.Now().Before(t.from) && time.Now().Before(t.to) }

func (t trouble) over() bool { return !time.Now().Before(t.to) }

// thousand runs a thousand messages, each sent twice, through h, until the queue is
// empty.
func thousand(t *testing.T, h handler.Handler, gates []handler.Gate, done *effectCounts) {
	t.Helper()
	const n = 1000
	o := &mem.Opener{}
	source, err := o.Source(t.Context(), "orders", &mem.Config{VisibilityTimeout: 30 * time.Second, MaxAttempts: 2})
	require.NoError(t, err)
	watch, err := o.Source(t.Context(), "orders", &mem.Config{VisibilityTimeout: 30 * time.Second, MaxAttempts: 2})
	require.NoError(t, err)
	sink, err := o.Sink(t.Context(), "orders", nil)
	require.NoError(t, err)
	depth := func() drivers.Depth {
		d, err := watch.Depth(t.Context())
		require.NoError(t, err)
		return d
	}
	for i := range 2 * n {
		// A producer that sends again has one identity for both.
		m := &handler.Message{Body: fmt.Append(nil, i%n), DedupeID: fmt.Sprint(i % n)}
		for _, err := range sink.Send(t.Context(), []*handler.Message{m}) {
			require.NoError(t, err)
		}
	}
	var attempts atomic.Int64
	spent := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if m.Attempt > 1 {
			attempts.Add(1)
		}
		return h.Handle(ctx, m)
	})
	w, err := consumer.New(source, spent, &consumer.Config{Concurrency: 16, Gates: gates, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	start := time.Now()
	for {
		d := depth()
		if d.Visible+d.InFlight+d.Delayed == 0 {
			break
		}
		require.Less(t, time.Since(start), time.Hour, "%+v %v", d, gates[0].(handler.GateReason).Reason())
		<-time.After(time.Second)
	}
	cancel()
	require.NoError(t, <-ended)
	require.GreaterOrEqual(t, time.Since(start), 10*time.Minute, "the trouble had no part in it")
	require.Zero(t, depth().DeadLetters)
	require.Zero(t, attempts.Load(), "attempts were spent")
	require.NoError(t, watch.Close())
	require.Len(t, done.times, n)
	for body, times := range done.times {
		require.Equal(t, 1, times, body)
	}
}

// faulty is a store that answers nothing for a time: before it does anything, or
// after, when the answer is lost.
type faulty struct {
	idempotency.Store
	trouble
	after bool
}

var errNoAnswer = errors.New("i/o timeout")

func (s *faulty) call(f func() error) error {
	if !s.now() {
		return f()
	}
	if s.after {
		_ = f()
	}
	return errNoAnswer
}

func (s *faulty) Claim(ctx context.Context, key, token string, ttl time.Duration) (c idempotency.Claim, err error) {
	err = s.call(func() error { c, err = s.Store.Claim(ctx, key, token, ttl); return err })
	if err != nil {
		c = idempotency.Claim{}
	}
	return c, err
}

func (s *faulty) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	return s.call(func() error { return s.Store.Renew(ctx, key, token, ttl) })
}

func (s *faulty) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	return s.call(func() error { return s.Store.Complete(ctx, key, token, result, ttl) })
}

func (s *faulty) Release(ctx context.Context, key, token string) error {
	return s.call(func() error { return s.Store.Release(ctx, key, token) })
}

// work is a handler that takes a while, of some messages longer than of others, so
// that a trouble finds handlers and claims alike.
func work(done *effectCounts) handler.Handler {
	return handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		<-time.After(time.Duration(m.Body[len(m.Body)-1]-'0'+1) * 11 * time.Millisecond)
		done.add(string(m.Body))
		return nil
	})
}

func standard(t *testing.T, once handler.Middleware) *middleware.Stack {
	t.Helper()
	s, err := middleware.Standard(&middleware.Config{Idempotency: once, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return s
}

func quiet() *idempotency.Config {
	return &idempotency.Config{Logger: slog.New(slog.DiscardHandler)}
}

func TestTenMinutesWithoutTheStore(t *testing.T) {
	for name, after := range map[string]bool{"no call arrives": false, "every answer is lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				once, err := idempotency.New(&faulty{idempotency.NewMemory(), soon(), after}, quiet())
				require.NoError(t, err)
				s, done := standard(t, once), &effectCounts{}
				thousand(t, s.Handler(work(done)), s.Gates(), done)
			})
		})
	}
}

func TestTenMinutesWithoutTheStoreInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once, err := idempotency.New(&faulty{idempotency.NewMemory(), soon(), false}, quiet())
		require.NoError(t, err)
		s, done := standard(t, once), &effectCounts{}
		batch, err := handler.Batch(handler.BatchHandlerFunc(func(_ context.Context, ms []*handler.Message) []error {
			<-time.After(50 * time.Millisecond)
			for _, m := range ms {
				done.add(string(m.Body))
			}
			return nil
		}), &handler.BatchConfig{MaxCount: 8})
		require.NoError(t, err)
		thousand(t, s.Handler(batch), s.Gates(), done)
	})
}

// endpoint is a service that refuses connections for a time.
type endpoint struct {
	trouble
	done *effectCounts
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.now() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	<-time.After(50 * time.Millisecond)
	e.done.add(string(body))
	return &http.Response{StatusCode: http.StatusNoContent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func TestTenMinutesWithoutTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once, err := idempotency.New(idempotency.NewMemory(), quiet())
		require.NoError(t, err)
		s, done := standard(t, once), &effectCounts{}
		h, err := httphandler.New("http://service.example/jobs", &httphandler.Config{Transport: &endpoint{soon(), done}})
		require.NoError(t, err)
		thousand(t, s.Handler(h), append(s.Gates(), h.Gate()), done)
	})
}

// database is a SQL database that fails over: new connections are refused until that
// is over, and those from before it stay open and are read-only for good.
type database struct {
	trouble
	file string
}

func (d *database) Driver() driver.Driver { return &sqlite.Driver{} }

func (d *database) Connect(context.Context) (driver.Conn, error) {
	if d.now() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	c, err := d.Driver().Open(d.file)
	if err != nil {
		return nil, err
	}
	return &session{Conn: c, database: d, old: !d.over()}, nil
}

// readOnly is PostgreSQL's error of a replica.
type readOnly struct{}

func (readOnly) Error() string    { return "cannot execute INSERT in a read-only transaction" }
func (readOnly) SQLState() string { return "25006" }

type session struct {
	driver.Conn
	database *database
	old      bool
}

func (s *session) replica(query string) error {
	if s.old && !time.Now().Before(s.database.from) && !strings.HasPrefix(query, "SELECT") {
		return readOnly{}
	}
	return nil
}

// now has the database count by the bubble's clock.
func (s *session) now(query string) string {
	return strings.ReplaceAll(query, "cast(unixepoch('subsec') * 1000 as integer)", strconv.FormatInt(time.Now().UnixMilli(), 10))
}

func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := s.replica(query); err != nil {
		return nil, err
	}
	return s.Conn.(driver.ExecerContext).ExecContext(ctx, s.now(query), args)
}

func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.replica(query); err != nil {
		return nil, err
	}
	return s.Conn.(driver.QueryerContext).QueryContext(ctx, s.now(query), args)
}

func (s *session) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return s.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func TestAFailoverOfTenMinutes(t *testing.T) {
	for name, build := range map[string]func(s *sqlstore.Store) (handler.Middleware, error){
		"claims": func(s *sqlstore.Store) (handler.Middleware, error) { return idempotency.New(s, quiet()) },
		"transactions": func(s *sqlstore.Store) (handler.Middleware, error) {
			return sqlstore.Transactional(s, &sqlstore.TxConfig{Config: *quiet()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := "file:" + filepath.Join(t.TempDir(), "marks.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate"
			synctest.Test(t, func(t *testing.T) {
				db := sql.OpenDB(&database{soon(), file})
				defer db.Close()
				db.SetMaxOpenConns(17)
				db.SetMaxIdleConns(17)
				store, err := sqlstore.New(db, sqlstore.SQLite, nil)
				require.NoError(t, err)
				require.NoError(t, store.Migrate(t.Context()))
				once, err := build(store)
				require.NoError(t, err)
				s, done := standard(t, once), &effectCounts{}
				thousand(t, s.Handler(work(done)), s.Gates(), done)
			})
		})
	}
}
