// Package opentable opens the table of an outbox by URL, for programs that get the URL from the
// configuration (delay_store), as the CLI does:
//
//	postgres://user@host/db?table=shop.outbox   PostgreSQL; also postgresql://; as pgx's ParseConfig
//	sqlite:///abs/file.db?table=outbox          SQLite; sqlite://rel/file.db for a relative path
//	mysql://user:password@host:3306/db?tls=true MySQL or MariaDB; parameters as go-sql-driver's
//
// The parameter table names the table; its default is that of package outbox. The package
// links the three databases' drivers. A program that has a *sql.DB calls outbox.New instead.
//
// A pool has at most 32 connections (pool_max_conns=N in a URL of PostgreSQL). Idle
// connections stay in the pool for five minutes, and no connection gets older than half an
// hour. MySQL closes a session that does nothing for six minutes, unless the URL has a
// wait_timeout of its own: a relay whose host is gone holds up the others for so long.
// PostgreSQL statements are not prepared by name, so that poolers in transaction mode work,
// unless the URL has a default_query_exec_mode of its own.
package opentable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/lookonly"
	"github.com/sluice-go/sluice/internal/nearest"
	"github.com/sluice-go/sluice/internal/sqlconn"
	"github.com/sluice-go/sluice/outbox"
)

// dialects are the known schemes.
var dialects = map[string]outbox.Dialect{
	"postgres": outbox.PostgreSQL, "postgresql": outbox.PostgreSQL, "sqlite": outbox.SQLite, "mysql": outbox.MySQL,
}

// URL returns the table that rawURL names, and the database to close after all use of the
// table. It does no IO: [outbox.Table.Check] reports a table that does not exist. A URL that
// is wrong is a [drivers.ErrInvalid]. A password in the URL is in no error.
func URL(ctx context.Context, rawURL string) (*outbox.Table, io.Closer, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err // without the URL, which may have a password
		}
		return nil, nil, invalid(err, "")
	}
	dialect, ok := dialects[u.Scheme]
	if !ok {
		known := []string{"mysql", "postgres", "postgresql", "sqlite"}
		remedy := "known: " + strings.Join(known, ", ")
		if n := nearest.Of(u.Scheme, known); n != "" {
			remedy = fmt.Sprintf("did you mean %q?", n)
		}
		return nil, nil, invalid(fmt.Errorf("no database has the scheme %q", u.Scheme), remedy)
	}
	parse := sqlconn.Parse
	if dialect == outbox.MySQL {
		parse = parseMySQL
	}
	target, err := parse(u)
	if err != nil {
		return nil, nil, invalid(err, "")
	}
	if lookonly.Asked(ctx) {
		target.ReadOnly()
	}
	db, err := target.Open()
	if err != nil {
		return nil, nil, invalid(err, "")
	}
	table, err := outbox.New(db, dialect, &outbox.Config{Table: target.Table})
	if err != nil {
		return nil, nil, errors.Join(invalid(err, ""), db.Close())
	}
	return table, db, nil
}

func invalid(err error, remedy string) error {
	return &drivers.Error{Code: drivers.Invalid, Op: "open the outbox's table", Err: err, Remedy: remedy}
}

// waitTimeout is after how many seconds the server closes a session that does nothing: more
// than the pool keeps one. A relay whose host is gone leaves the table's lock to its session,
// which lasts for eight hours by default.
const waitTimeout = "360"

// parseMySQL reads a URL whose parameters are those of the driver's own data source names.
func parseMySQL(u *url.URL) (*sqlconn.Target, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, err
	}
	table := q.Get("table")
	q.Del("table")
	name := strings.TrimPrefix(u.Path, "/")
	if u.Host == "" || name == "" {
		return nil, errors.New("the URL names no host or no database")
	}
	c, err := mysql.ParseDSN("/?" + q.Encode())
	if err != nil {
		return nil, err
	}
	c.Net, c.Addr, c.DBName = "tcp", u.Host, name
	if u.Port() == "" {
		c.Addr += ":3306"
	}
	if c.Params["wait_timeout"] == "" {
		if c.Params == nil {
			c.Params = make(map[string]string)
		}
		c.Params["wait_timeout"] = waitTimeout
	}
	if u.User != nil {
		c.User = u.User.Username()
		c.Passwd, _ = u.User.Password()
	}
	return &sqlconn.Target{Driver: "mysql", DSN: c.FormatDSN(), Table: table}, nil
}
