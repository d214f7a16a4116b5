// Package open opens an idempotency store by URL, for programs that get
// the store from configuration, as the CLI is. It links every store's client: a
// program that knows its store imports that store's package instead.
//
//	mem://                                      this process's memory
//	redis://host:6379/0?prefix=orders:          Redis; rediss:// with TLS; as go-redis's ParseURL
//	postgres://user@host/db?table=done          PostgreSQL; also postgresql://; as pgx's ParseConfig
//	sqlite:///abs/file.db?table=done            SQLite; sqlite://rel/file.db for a relative path
//	dynamodb://table                            DynamoDB, by the AWS SDK's default chains
//	firestore://projects/P/databases/(default)/documents/COLLECTION
//	mongo://database/collection                 MongoDB at MONGO_SERVER_URL
//
// Firestore and MongoDB are in programs that are built with the tag
// sluice_firestore or sluice_mongo, or sluice_all for both, or that import
// gocloud.dev/docstore/gcpfirestore or mongodocstore themselves: few use them,
// and their clients are large.
//
// SQL tables are made where they do not exist; the others must be there.
//
// A pool of connections has at most [MaxConns] of them for SQL (pool_max_conns=N in
// a postgres URL), and go-redis's number for Redis (pool_size=N). A call waits for
// one that is free. Idle connections stay in the pool for five minutes, so that
// they fit however many handlers run concurrently, and none is older than half an hour.
// PostgreSQL statements are not prepared by name, so that poolers in transaction
// mode work, unless the URL has a default_query_exec_mode of its own.
package open

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/redis/go-redis/v9"
	gcdocstore "gocloud.dev/docstore"
	_ "gocloud.dev/docstore/awsdynamodb/v2" // dynamodb://
	_ "modernc.org/sqlite"                  // the driver "sqlite"

	"github.com/sluice-go/sluice/internal/nearest"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/docstore"
	"github.com/sluice-go/sluice/middleware/idempotency/redisstore"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// ErrURL is in the error of a URL that can never be opened as it is: a scheme
// or parameter that is not known, a part that is missing.
var ErrURL = errors.New("invalid idempotency store URL")

// MaxConns is how many connections to a SQL database a store has at most, unless its
// URL says otherwise.
const MaxConns = 32

// The times of connections: how long one may be unused, and how old it may be. The
// second has a pool follow a database that moves without an error.
const (
	connIdle = 5 * time.Minute
	connLife = 30 * time.Minute
)

// A Store is a store that was opened, and the resources to close after use.
type Store struct {
	idempotency.Store
	io.Closer
	// SQL is the store if it is a SQL one, for its transactional form and
	// its Cleanup; nil otherwise.
	SQL *sqlstore.Store

	name string
}

// String returns the store's URL without its password and parameters.
func (s *Store) String() string { return s.name }

// schemes are the known ones, with the function that opens each.
func schemes() map[string]func(context.Context, *url.URL) (*Store, error) {
	return map[string]func(context.Context, *url.URL) (*Store, error){
		"mem":        openMemory,
		"redis":      openRedis,
		"rediss":     openRedis,
		"postgres":   openPostgres,
		"postgresql": openPostgres,
		"sqlite":     openSQLite,
		"dynamodb":   openDynamoDB,
		"firestore":  openFirestore,
		"mongo":      openMongo,
	}
}

// URL opens the store that rawURL names and checks that it can be reached. The
// error of a URL that is wrong has [ErrURL] in it. A password in the URL is in
// no error.
func URL(ctx context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may have a password
		}
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	known := schemes()
	open, ok := known[u.Scheme]
	if !ok {
		names := make([]string, 0, len(known))
		for s := range known {
			names = append(names, s)
		}
		slices.Sort(names)
		hint := ""
		if n := nearest.Of(u.Scheme, names); n != "" {
			hint = fmt.Sprintf(": did you mean %q?", n)
		}
		return nil, fmt.Errorf("%w: unknown scheme %q%s (known: %s)", ErrURL, u.Scheme, hint, strings.Join(names, ", "))
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	s, err := open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("idempotency store %s: %w", u.Redacted(), err)
	}
	shown := *u
	shown.RawQuery = ""
	s.name = shown.Redacted()
	return s, nil
}

// take removes our own parameter from the URL's query and returns its value, so
// that the client's parser sees only what is its.
func take(u *url.URL, name string) string {
	q := u.Query()
	v := q.Get(name)
	q.Del(name)
	u.RawQuery = q.Encode()
	return v
}

// refuseParams is for those whose parser would pass over what it does not know.
func refuseParams(u *url.URL, known ...string) error {
	for name := range u.Query() {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%w: unknown parameter %q (known: %s)", ErrURL, name, strings.Join(known, ", "))
		}
	}
	return nil
}

type closeFunc func() error

func (f closeFunc) Close() error { return f() }

func openMemory(_ context.Context, u *url.URL) (*Store, error) {
	if err := refuseParams(u); err != nil {
		return nil, err
	}
	return &Store{Store: new(idempotency.Memory), Closer: closeFunc(func() error { return nil })}, nil
}

func openRedis(ctx context.Context, u *url.URL) (*Store, error) {
	own := *u
	prefix := take(&own, "prefix")
	o, err := redis.ParseURL(own.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	o.ContextTimeoutEnabled = true
	if o.ConnMaxLifetime == 0 {
		o.ConnMaxLifetime = connLife
		o.ConnMaxLifetimeJitter = connLife / 10
	}
	if o.ConnMaxIdleTime == 0 {
		o.ConnMaxIdleTime = connIdle
	}
	client := redis.NewClient(o)
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	s, err := redisstore.New(client, &redisstore.Config{Prefix: prefix})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &Store{Store: s, Closer: client}, nil
}

func openPostgres(ctx context.Context, u *url.URL) (*Store, error) {
	own := *u
	table := take(&own, "table")
	conns := MaxConns
	if own.Query().Has("pool_max_conns") {
		text := take(&own, "pool_max_conns")
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%w: pool_max_conns is %q, it must be a number from 1 on", ErrURL, text)
		}
		conns = n
	}
	if q := own.Query(); !q.Has("default_query_exec_mode") {
		q.Set("default_query_exec_mode", "exec")
		own.RawQuery = q.Encode()
	}
	return openSQL(ctx, "pgx", own.String(), sqlstore.PostgreSQL, table, conns)
}

func openSQLite(ctx context.Context, u *url.URL) (*Store, error) {
	if err := refuseParams(u, "table"); err != nil {
		return nil, err
	}
	path := u.Host + u.Path
	if u.Opaque != "" {
		path = u.Opaque
	}
	if path == "" {
		return nil, fmt.Errorf("%w: no file named", ErrURL)
	}
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(wal)", "synchronous(normal)"}, "_txlock": {"immediate"}}
	// In the form file:PATH?…, if a path may hold what a URL escapes.
	dsn := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?" + pragmas.Encode()
	return openSQL(ctx, "sqlite", dsn, sqlstore.SQLite, u.Query().Get("table"), MaxConns)
}

func openSQL(ctx context.Context, driver, dsn string, d sqlstore.Dialect, table string, conns int) (*Store, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(connIdle)
	db.SetConnMaxLifetime(connLife)
	s, err := sqlstore.New(db, d, &sqlstore.Config{Table: table})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrURL, err), db.Close())
	}
	if err := s.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Store{Store: s, SQL: s, Closer: db}, nil
}

// openDynamoDB has reads be consistent unless the URL says otherwise: a claim
// that was just made must not be taken for lost.
func openDynamoDB(ctx context.Context, u *url.URL) (*Store, error) {
	return openCollection(ctx, u, url.Values{"partition_key": {docstore.KeyField}, "consistent_read": {"true"}})
}

func openFirestore(ctx context.Context, u *url.URL) (*Store, error) {
	if err := linked(u.Scheme, "sluice_firestore", "gcpfirestore"); err != nil {
		return nil, err
	}
	return openCollection(ctx, u, url.Values{"name_field": {docstore.KeyField}})
}

func openMongo(ctx context.Context, u *url.URL) (*Store, error) {
	if err := linked(u.Scheme, "sluice_mongo", "mongodocstore"); err != nil {
		return nil, err
	}
	return openCollection(ctx, u, url.Values{"id_field": {docstore.KeyField}})
}

// linked returns an error that names the way out if this program was built
// without a store's client.
func linked(scheme, tag, pkg string) error {
	if gcdocstore.DefaultURLMux().ValidCollectionScheme(scheme) {
		return nil
	}
	return fmt.Errorf("%w: this program was built without stores of %s://: build it with -tags %s or sluice_all, or import gocloud.dev/docstore/%s",
		ErrURL, scheme, tag, pkg)
}

// openCollection opens a document store by gocloud.dev's URLs, with the given
// parameters if the URL has none of them.
func openCollection(ctx context.Context, u *url.URL, defaults url.Values) (*Store, error) {
	full := *u
	q := full.Query()
	for name, v := range defaults {
		if !q.Has(name) {
			q[name] = v
		}
	}
	full.RawQuery = q.Encode()
	c, err := gcdocstore.DefaultURLMux().OpenCollectionURL(ctx, &full)
	if err != nil {
		return nil, err
	}
	s, err := docstore.New(c)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &Store{Store: s, Closer: c}, nil
}
