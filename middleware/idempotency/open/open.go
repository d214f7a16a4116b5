// Package open opens an idempotency store by URL, for programs that read the URL
// from a configuration, such as the CLI. It links every store's client. A program
// that knows its store imports that store's package instead.
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
// SQL tables are created if they do not exist. The other stores must exist.
//
// A pool has at most 32 connections to a SQL database (pool_max_conns=N in a postgres
// URL; the control store beside it has two of its own), and ten for each processor to
// Redis (pool_size=N). A call waits for a free connection. Idle connections stay in the
// pool for five minutes, and no connection gets older than half an hour.
// PostgreSQL statements are not prepared by name, so that poolers in transaction
// mode work, unless the URL has a default_query_exec_mode of its own.
package open

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	gcdocstore "gocloud.dev/docstore"
	_ "gocloud.dev/docstore/awsdynamodb/v2" // dynamodb://
	_ "modernc.org/sqlite"                  // the driver "sqlite"

	"github.com/sluice-go/sluice/internal/nearest"
	"github.com/sluice-go/sluice/internal/redisclient"
	"github.com/sluice-go/sluice/internal/sqlconn"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/docstore"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/middleware/idempotency/redisstore"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/middleware/internal/controlsql"
)

// schemes are the known ones, with the function that opens each.
func schemes() map[string]func(context.Context, *url.URL) (*opened.Store, error) {
	return map[string]func(context.Context, *url.URL) (*opened.Store, error){
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
// error of a URL that is wrong has [opened.ErrURL] in it. A password in the URL is in
// no error.
func URL(ctx context.Context, rawURL string) (*opened.Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may have a password
		}
		return nil, fmt.Errorf("%w: %w", opened.ErrURL, err)
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
		return nil, fmt.Errorf("%w: unknown scheme %q%s (known: %s)", opened.ErrURL, u.Scheme, hint, strings.Join(names, ", "))
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, fmt.Errorf("%w: %w", opened.ErrURL, err)
	}
	s, err := open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("idempotency store %s: %w", u.Redacted(), err)
	}
	shown := *u
	shown.RawQuery = ""
	s.Name = shown.Redacted()
	return s, nil
}

// take removes a parameter of this package from the URL's query and returns its
// value, so that the client's parser does not see it.
func take(u *url.URL, name string) string {
	q := u.Query()
	v := q.Get(name)
	q.Del(name)
	u.RawQuery = q.Encode()
	return v
}

// refuseParams is for stores whose parser ignores unknown parameters.
func refuseParams(u *url.URL, known ...string) error {
	for name := range u.Query() {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%w: unknown parameter %q (known: %s)", opened.ErrURL, name, strings.Join(known, ", "))
		}
	}
	return nil
}

type closeFunc func() error

func (f closeFunc) Close() error { return f() }

func openMemory(_ context.Context, u *url.URL) (*opened.Store, error) {
	if err := refuseParams(u); err != nil {
		return nil, err
	}
	return &opened.Store{Store: idempotency.NewMemory(), Closer: closeFunc(func() error { return nil })}, nil
}

func openRedis(ctx context.Context, u *url.URL) (*opened.Store, error) {
	own := *u
	prefix := take(&own, "prefix")
	client, err := redisclient.Parse(&own)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", opened.ErrURL, err)
	}
	if err := client.Ping(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	s, err := redisstore.New(client, &redisstore.Config{Prefix: prefix})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &opened.Store{Store: s, Closer: client}, nil
}

func openPostgres(ctx context.Context, u *url.URL) (*opened.Store, error) {
	return openSQL(ctx, u, sqlstore.PostgreSQL)
}

func openSQLite(ctx context.Context, u *url.URL) (*opened.Store, error) {
	return openSQL(ctx, u, sqlstore.SQLite)
}

func openSQL(ctx context.Context, u *url.URL, d sqlstore.Dialect) (*opened.Store, error) {
	target, err := sqlconn.Parse(u)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", opened.ErrURL, err)
	}
	db, err := target.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", opened.ErrURL, err)
	}
	s, err := sqlstore.New(db, d, &sqlstore.Config{Table: target.Table})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", opened.ErrURL, err), db.Close())
	}
	if err := s.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	target.Conns = controlsql.Conns
	own, err := target.Open()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", opened.ErrURL, err), db.Close())
	}
	return &opened.Store{
		Store: s, SQL: s, Closer: closeFunc(func() error { return errors.Join(own.Close(), db.Close()) }),
		Control: controlsql.New(own, controlsql.Beside(target.Table), s.Control().String()),
	}, nil
}

// openDynamoDB has reads be consistent unless the URL says otherwise: a claim
// that was just made must not be taken for lost.
func openDynamoDB(ctx context.Context, u *url.URL) (*opened.Store, error) {
	return openCollection(ctx, u, url.Values{"partition_key": {docstore.KeyField}, "consistent_read": {"true"}})
}

func openFirestore(ctx context.Context, u *url.URL) (*opened.Store, error) {
	if err := linked(u.Scheme, "sluice_firestore", "gcpfirestore"); err != nil {
		return nil, err
	}
	return openCollection(ctx, u, url.Values{"name_field": {docstore.KeyField}})
}

func openMongo(ctx context.Context, u *url.URL) (*opened.Store, error) {
	if err := linked(u.Scheme, "sluice_mongo", "mongodocstore"); err != nil {
		return nil, err
	}
	return openCollection(ctx, u, url.Values{"id_field": {docstore.KeyField}})
}

// linked returns an error with a remedy if this program was built without a
// store's client.
func linked(scheme, tag, pkg string) error {
	if gcdocstore.DefaultURLMux().ValidCollectionScheme(scheme) {
		return nil
	}
	return fmt.Errorf("%w: this program was built without stores of %s://: build it with -tags %s or sluice_all, or import gocloud.dev/docstore/%s",
		opened.ErrURL, scheme, tag, pkg)
}

// openCollection opens a document store by gocloud.dev's URLs, with the given
// parameters if the URL has none of them.
func openCollection(ctx context.Context, u *url.URL, defaults url.Values) (*opened.Store, error) {
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
	return &opened.Store{Store: s, Closer: c}, nil
}
