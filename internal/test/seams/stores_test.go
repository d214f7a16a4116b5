package seams

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/dynamotable"
	"github.com/sluice-go/sluice/internal/test/testserver/pgpooler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// A shop is an idempotency store to run programs on, with what can happen to its
// server. Programs on it run in real time: servers have clocks of their own.
type shop struct {
	store idempotency.Store
	sql   *sqlstore.Store
	db    *sql.DB
	// blows are faults of the server, or of the connections to it.
	blows []func(ctx context.Context) error
}

// shops returns the stores that are available here. Those on servers are for full
// and long runs, and DynamoDB for long ones, unless the environment has one.
func shops() map[string]func(t *testing.T) *shop {
	found := map[string]func(t *testing.T) *shop{
		"memory": func(*testing.T) *shop { return &shop{store: idempotency.NewMemory()} },
	}
	if !suite.Quick() {
		found["sqlite"] = onSQLiteStore
	}
	if !suite.Full() && *flagDuration == 0 {
		return found
	}
	if testserver.Has("redis") {
		found["redis"] = onRedisStore
	}
	if testserver.Has("postgres") {
		found["postgres"] = func(t *testing.T) *shop { return onPostgresStore(t, false) }
		found["pooler"] = func(t *testing.T) *shop { return onPostgresStore(t, true) }
	}
	if testserver.Has("dynamodb") || *flagDuration > 0 {
		found["dynamodb"] = onDynamoDBStore
	}
	return found
}

func openShop(t *testing.T, u string) *opened.Store {
	t.Helper()
	s, err := open.URL(t.Context(), u)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func openDB(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(10)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE effects (id text NOT NULL)")
	require.NoError(t, err)
	return db
}

func onSQLiteStore(t *testing.T) *shop {
	file := filepath.Join(t.TempDir(), "marks.db")
	db := openDB(t, "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_txlock=immediate")
	s, err := sqlstore.New(db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	return &shop{store: s, sql: s, db: db, blows: []func(context.Context) error{
		func(ctx context.Context) error { // another program writes
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return nil //nolint:nilerr // it is writing already
			}
			_ = sleep.For(ctx, 200*time.Millisecond)
			return tx.Rollback()
		},
	}}
}

func onRedisStore(t *testing.T) *shop {
	u := testserver.Redis(t).URL
	o, err := redis.ParseURL(u)
	require.NoError(t, err)
	admin := redis.NewClient(o)
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	name := testserver.Name(t)
	return &shop{store: openShop(t, u+"/0?client_name="+name+"&prefix="+name), blows: []func(context.Context) error{
		func(ctx context.Context) error { // its connections end
			list, err := admin.ClientList(ctx).Result()
			for line := range strings.Lines(list) {
				fields := strings.Fields(line)
				if strings.Contains(line, "name="+name+" ") && strings.HasPrefix(fields[0], "id=") {
					_ = admin.ClientKillByFilter(ctx, "ID", fields[0][3:]).Err() // it may have ended
				}
			}
			return err
		},
	}}
}

func onPostgresStore(t *testing.T, pooled bool) *shop {
	server := testserver.Postgres(t)
	admin, err := sql.Open("pgx", server.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	var database string
	require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&database))
	terminate := func(ctx context.Context) error {
		_, err := admin.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		return err
	}
	s := &shop{blows: []func(context.Context) error{terminate}}
	u := server.URL
	if pooled {
		parsed, err := url.Parse(u)
		require.NoError(t, err)
		p, err := pgpooler.Start(parsed.Host, parsed.User.Username(), database, 3)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		s.blows = append(s.blows, func(context.Context) error { p.Drop(); return nil })
		u = p.URL() + "&default_query_exec_mode=exec" // for the handler's statements
	} else {
		s.blows = append(s.blows, func(ctx context.Context) error {
			// Connections of this while stay read-only, as those to the old primary.
			_, err := admin.ExecContext(ctx, "ALTER DATABASE "+database+" SET default_transaction_read_only = on")
			err = errors.Join(err, terminate(ctx))
			_ = sleep.For(ctx, 100*time.Millisecond)
			_, reset := admin.ExecContext(context.WithoutCancel(ctx), "ALTER DATABASE "+database+" RESET default_transaction_read_only")
			return errors.Join(err, reset)
		})
		admin.SetMaxOpenConns(1) // it is read-write for good
	}
	s.db = openDB(t, "pgx", u)
	s.sql, err = sqlstore.New(s.db, sqlstore.PostgreSQL, nil)
	require.NoError(t, err)
	require.NoError(t, s.sql.Migrate(t.Context()))
	s.store = s.sql
	return s
}

func onDynamoDBStore(t *testing.T) *shop {
	u := testserver.DynamoDB(t).URL
	table, _ := dynamotable.New(t, u)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", u)
	return &shop{store: openShop(t, "dynamodb://"+table+"?region=us-east-1")}
}

// road is the way to a store. In a weather other than fair, calls do not arrive, are
// slow, or their answers are lost.
type road struct {
	idempotency.Store
	weather atomic.Int32
}

const (
	fair int32 = iota
	cutOff
	slow
	lossy
	weathers
)

func through[T any](ctx context.Context, r *road, f func() (T, error)) (T, error) {
	var zero T
	switch r.weather.Load() {
	case cutOff:
		return zero, errStore
	case slow:
		_ = sleep.For(ctx, 150*time.Millisecond)
	case lossy:
		_, _ = f()
		return zero, errStore
	}
	return f()
}

func none(f func() error) func() (struct{}, error) {
	return func() (struct{}, error) { return struct{}{}, f() }
}

func (r *road) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	return through(ctx, r, func() (idempotency.Claim, error) { return r.Store.Claim(ctx, key, token, ttl) })
}

func (r *road) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	_, err := through(ctx, r, none(func() error { return r.Store.Renew(ctx, key, token, ttl) }))
	return err
}

func (r *road) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	_, err := through(ctx, r, none(func() error { return r.Store.Complete(ctx, key, token, result, ttl) }))
	return err
}

func (r *road) Release(ctx context.Context, key, token string) error {
	_, err := through(ctx, r, none(func() error { return r.Store.Release(ctx, key, token) }))
	return err
}

// deal is how a program uses its store.
type deal string

const (
	singly        deal = "messages"
	inBatches     deal = "batches"
	inTransaction deal = "transactions"
)

// deals are what is tried with a store: one or two of them in an ordinary run, which
// must be short, all in a long one.
func deals(store string) []deal {
	switch {
	case *flagDuration == 0 && store == "sqlite":
		return []deal{inBatches, inTransaction}
	case *flagDuration == 0 && store == "pooler":
		return []deal{inTransaction}
	case *flagDuration == 0:
		return []deal{singly}
	case store == "sqlite", store == "postgres", store == "pooler":
		return []deal{singly, inBatches, inTransaction}
	default:
		return []deal{singly, inBatches}
	}
}

// TestStores runs programs of outages, failovers, slow and lost answers, clean-up,
// batches and redrives around each idempotency store. Each effect is there once an
// identity, nothing is lost, and a store that fails makes no letter.
func TestStores(t *testing.T) {
	if *flagChild != 0 || *flagSeed != 0 {
		return // a program of the other test
	}
	for name, build := range shops() {
		t.Run(name, func(t *testing.T) {
			if name != "dynamodb" { // its place comes from the environment
				t.Parallel()
			}
			for _, d := range deals(name) {
				t.Run(string(d), func(t *testing.T) {
					if name != "dynamodb" {
						t.Parallel()
					}
					s := build(t)
					until := time.Now().Add(*flagDuration / 10)
					for seed := uint64(1); seed == 1 || time.Now().Before(until); seed = rand.Uint64() {
						trade(t, s, d, seed)
						if t.Failed() {
							t.Logf("the seed is %d", seed)
							return
						}
					}
				})
			}
		})
	}
}

// trade runs one program.
func trade(t *testing.T, s *shop, d deal, seed uint64) {
	const n = 30
	dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a program must be repeatable
	o := &mem.Opener{}
	config := &mem.Config{VisibilityTimeout: 8 * time.Second, MaxAttempts: 2}
	queue := fmt.Sprint("jobs-", seed)
	watch, err := o.Source(t.Context(), queue, config)
	require.NoError(t, err)
	source, err := o.Source(t.Context(), queue, config)
	require.NoError(t, err)
	sink, err := o.Sink(t.Context(), queue, nil)
	require.NoError(t, err)

	road := &road{Store: s.store}
	var mu sync.Mutex
	times, rejected := map[string]int{}, map[string]bool{}
	handle := func(ctx context.Context, m *handler.Message) error {
		body := string(m.Body)
		if id := strings.TrimPrefix(body, "letter "); id != body {
			mu.Lock()
			again := rejected[body]
			rejected[body] = true
			mu.Unlock()
			if !again {
				return handler.Reject(errors.New("not yet"))
			}
		}
		if d == inTransaction {
			_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO effects VALUES ($1)", queue+" "+body)
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		times[body]++
		return nil
	}
	h := handler.Handler(handler.HandlerFunc(handle))
	quiet := idempotency.Config{Logger: slog.New(slog.DiscardHandler), StoreTimeout: 2 * time.Second}
	once, err := idempotency.New(road, &quiet)
	switch d {
	case inBatches:
		h, err = handler.Batch(handler.BatchHandlerFunc(func(ctx context.Context, ms []*handler.Message) []error {
			errs := make([]error, len(ms))
			for i, m := range ms {
				errs[i] = handle(ctx, m)
			}
			return errs
		}), &handler.BatchConfig{MaxCount: 4, MaxWait: 20 * time.Millisecond})
	case inTransaction:
		once, err = sqlstore.Transactional(s.sql, &sqlstore.TxConfig{Config: quiet, BusyRetry: 200 * time.Millisecond})
	case singly:
	}
	require.NoError(t, err)
	stack, err := middleware.Standard(&middleware.Config{Idempotency: once, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	c, err := consumer.New(source, stack.Handler(h), &consumer.Config{Concurrency: 6, Gates: stack.Gates(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()

	body := func(i int) string {
		if i%10 == 0 {
			return fmt.Sprint("letter ", i)
		}
		return fmt.Sprint("job ", i)
	}
	send := func(i int) {
		for _, err := range sink.Send(t.Context(), []*handler.Message{{Body: []byte(body(i)), DedupeID: body(i)}}) {
			require.NoError(t, err)
		}
	}
	for i := range 2 * n {
		if i%6 == 0 { // the weather changes, and the server is hit
			road.weather.Store(dice.Int32N(weathers))
			if len(s.blows) > 0 {
				require.NoError(t, s.blows[dice.IntN(len(s.blows))](t.Context()))
			}
			if s.sql != nil {
				_, _ = s.sql.Cleanup(t.Context(), 0) // which an outage may end
			}
		}
		send(i % n)
		_ = sleep.For(t.Context(), time.Duration(dice.IntN(30))*time.Millisecond)
	}
	road.weather.Store(fair)
	empty := func() bool {
		depth, err := watch.Depth(t.Context())
		return err == nil && depth.Visible+depth.InFlight+depth.Delayed == 0
	}
	require.Eventually(t, empty, 2*time.Minute, 20*time.Millisecond, "messages are left")
	letters, err := watch.Peek(t.Context(), 10, true)
	require.NoError(t, err)
	for _, m := range letters {
		require.Contains(t, string(m.Body), "letter ", "a letter for an outage of the store")
	}
	if len(letters) > 0 {
		_, err = watch.StartRedrive(t.Context(), 0)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		depth, err := watch.Depth(t.Context())
		return err == nil && depth.DeadLetters == 0 && empty()
	}, 2*time.Minute, 20*time.Millisecond, "redriven letters are left")
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, watch.Close())
	for i := range n {
		count := times[body(i)]
		if d == inTransaction {
			require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects WHERE id = $1", queue+" "+body(i)).Scan(&count))
		}
		require.Equal(t, 1, count, body(i))
	}
}
