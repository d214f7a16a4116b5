package sqlconn

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a pool of connections: how many it has, how long one may be unused, and how
// old it may be. The last has a pool follow a database that moves without an error.
const (
	maxConns = 32
	connIdle = 5 * time.Minute
	connLife = 30 * time.Minute
)

// A Target is a database that a URL names, as database/sql opens it.
type Target struct {
	// Driver is the driver's name and DSN its data source. The program links the driver.
	Driver, DSN string
	// Table is the URL's parameter table.
	Table string
	// Conns bounds the pool. Zero means 32.
	Conns int
}

// Parse reads the URL of a PostgreSQL database (postgres, postgresql) or of a SQLite file
// (sqlite). Statements of PostgreSQL are not prepared by name, so that poolers in
// transaction mode work, unless the URL has a default_query_exec_mode of its own.
func Parse(u *url.URL) (*Target, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, err
	}
	t := &Target{Table: q.Get("table")}
	q.Del("table")
	if u.Scheme == "sqlite" {
		return t, t.sqlite(u, q)
	}
	t.Driver = "pgx"
	if q.Has("pool_max_conns") {
		text := q.Get("pool_max_conns")
		if t.Conns, err = strconv.Atoi(text); err != nil || t.Conns < 1 {
			return nil, fmt.Errorf("pool_max_conns is %q: it must be a positive number", text)
		}
		q.Del("pool_max_conns")
	}
	if !q.Has("default_query_exec_mode") {
		q.Set("default_query_exec_mode", "exec")
	}
	own := *u
	own.RawQuery = q.Encode()
	t.DSN = own.String()
	return t, nil
}

func (t *Target) sqlite(u *url.URL, q url.Values) error {
	for name := range q {
		return fmt.Errorf("unknown parameter %q (known: table)", name)
	}
	path := u.Host + u.Path
	if u.Opaque != "" {
		path = u.Opaque
	}
	if path == "" {
		return errors.New("the URL names no file")
	}
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(wal)", "synchronous(normal)"}, "_txlock": {"immediate"}}
	// In the form file:PATH?…, if a path may hold what a URL escapes.
	t.Driver = "sqlite"
	t.DSN = "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?" + pragmas.Encode()
	return nil
}

// ReadOnly has a SQLite file opened for reading, so that one that does not exist is not
// created. It changes nothing for other databases.
func (t *Target) ReadOnly() {
	if t.Driver == "sqlite" {
		file, _, _ := strings.Cut(t.DSN, "?") // the path's own are escaped
		t.DSN = file + "?" + url.Values{"_pragma": {"busy_timeout(10000)"}, "mode": {"ro"}}.Encode()
	}
}

// Open opens the database. It does no IO, and fails only for a data source that is wrong or
// a driver that is not linked.
func (t *Target) Open() (*sql.DB, error) {
	if !slices.Contains(sql.Drivers(), t.Driver) {
		return nil, fmt.Errorf("this program does not link the driver %q of database/sql", t.Driver)
	}
	db, err := sql.Open(t.Driver, t.DSN)
	if err != nil {
		return nil, err
	}
	n := t.Conns
	if n == 0 {
		n = maxConns
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(connIdle)
	db.SetConnMaxLifetime(connLife)
	return db, nil
}
