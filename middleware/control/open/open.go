// Package open opens a control store by URL. It links the clients of all of them.
//
//	file:///var/lib/shop/control.json          a file; file:rel/path.json for a relative path
//	sqlite:///abs/file.db?table=NAME            SQLite; sqlite://rel/file.db for a relative path
//	postgres://user@host/db?table=NAME          PostgreSQL; also postgresql://; as pgx's ParseConfig
//	redis://host:6379/0?prefix=shop:            Redis; rediss:// with TLS; as go-redis's ParseURL
//
// The table is "sluice_control" by default, and is made by the first write. On Redis the
// states are the hash "sluice:control" behind the prefix.
package open

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/nearest"
	"github.com/sluice-go/sluice/internal/redisclient"
	"github.com/sluice-go/sluice/internal/sqlconn"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/internal/controlredis"
	"github.com/sluice-go/sluice/middleware/internal/controlsql"
)

type closeFunc func() error

func (f closeFunc) Close() error { return f() }

var schemes = []string{"file", "postgres", "postgresql", "redis", "rediss", "sqlite"}

// URL opens the store that rawURL names and reads it once. The error of a URL that is wrong
// has [control.ErrURL] in it. A password in the URL is in no error.
func URL(ctx context.Context, rawURL string) (*control.Opened, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		if ue, ok := invoke.As[*url.Error](err); ok {
			err = ue.Err // without the URL, which may have a password
		}
		return nil, fmt.Errorf("%w: %w", control.ErrURL, err)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", control.ErrURL, err)
	}
	shown := *u
	shown.RawQuery = ""
	name := shown.Redacted()
	var s *control.Opened
	switch u.Scheme {
	case "file":
		s, err = openFile(u, q)
	case "sqlite", "postgres", "postgresql":
		s, err = openSQL(u, name)
	case "redis", "rediss":
		s, err = openRedis(u, q, name)
	default:
		hint := ""
		if n := nearest.Of(u.Scheme, schemes); n != "" {
			hint = fmt.Sprintf(": did you mean %q?", n)
		}
		return nil, fmt.Errorf("%w: unknown scheme %q%s (known: %s)", control.ErrURL, u.Scheme, hint, strings.Join(schemes, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("control store %s: %w", name, err)
	}
	if _, err := s.Load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("control store %s: %w", name, err), s.Close())
	}
	return s, nil
}

func openFile(u *url.URL, q url.Values) (*control.Opened, error) {
	for name := range q {
		return nil, fmt.Errorf("%w: unknown parameter %q (known: none)", control.ErrURL, name)
	}
	p := u.Host + u.Path
	if u.Opaque != "" {
		p = u.Opaque
	}
	if p == "" {
		return nil, fmt.Errorf("%w: the URL names no file", control.ErrURL)
	}
	return &control.Opened{Store: &file{path: p}, Closer: closeFunc(func() error { return nil })}, nil
}

func openSQL(u *url.URL, name string) (*control.Opened, error) {
	target, err := sqlconn.Parse(u)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", control.ErrURL, err)
	}
	table := cmp.Or(target.Table, controlsql.Table)
	if !controlsql.Valid(table) {
		return nil, fmt.Errorf("%w: table is %q: it must be a name of letters, digits and underscores", control.ErrURL, table)
	}
	if target.Conns == 0 {
		target.Conns = controlsql.Conns
	}
	db, err := target.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", control.ErrURL, err)
	}
	return &control.Opened{Store: controlsql.New(db, table, name), Closer: db}, nil
}

func openRedis(u *url.URL, q url.Values, name string) (*control.Opened, error) {
	own, prefix := *u, q.Get("prefix")
	q.Del("prefix")
	own.RawQuery = q.Encode()
	client, err := redisclient.Parse(&own)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", control.ErrURL, err)
	}
	return &control.Opened{Store: controlredis.New(client, prefix+controlredis.Key, name), Closer: client}, nil
}
