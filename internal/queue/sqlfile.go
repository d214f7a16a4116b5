package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// files are those that a SQLite engine has open: the database, and the log and
// its index beside it. What is written to a file that was deleted or moved is
// seen by nobody who opens its path, and without its own log and index two
// processes don't see each other's locks.
type files struct {
	paths []string
	infos []os.FileInfo
}

// remember notes the files, which are open.
func (f *files) remember(path string) error {
	// SQLite follows links before it names the log.
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, p := range []string{path, real + "-wal", real + "-shm"} {
		info, err := os.Stat(p)
		if p != path && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		f.paths, f.infos = append(f.paths, p), append(f.infos, info)
	}
	return nil
}

// moved returns an error if one of the files is not where it was.
func (f *files) moved() error {
	for i, path := range f.paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: there is no %s any more", ErrMoved, path)
		case err == nil && !os.SameFile(info, f.infos[i]):
			return fmt.Errorf("%w: another %s is in its place", ErrMoved, path)
		}
	}
	return nil
}

func location(path string, params url.Values) string {
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: params.Encode()}).String()
}

// dsn is how the file of an engine is opened.
func dsn(path string, busy time.Duration, sync string) string {
	return location(path, url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		"journal_mode(WAL)",
		fmt.Sprintf("synchronous(%s)", sync),
		"cache_size(-16000)",
		"journal_size_limit(67108864)",
	}})
}

// header is what tells whose file it is.
type header struct{ id, version, tables int64 }

func (h *header) read(row func(query string) interface{ Scan(dest ...any) error }) error {
	if err := row("PRAGMA application_id").Scan(&h.id); err != nil {
		return err
	}
	if err := row("PRAGMA user_version").Scan(&h.version); err != nil {
		return err
	}
	return row("SELECT count(*) FROM sqlite_schema").Scan(&h.tables)
}

// check returns whether the schema is to be made, and an error if the file is
// not ours, or not of a version that this program knows.
func (h *header) check() (empty bool, err error) {
	switch {
	case *h == header{}:
		return true, nil
	case h.id != applicationID:
		return false, fmt.Errorf("%w: it is another program's SQLite file", ErrForeign)
	case h.version < 1 || h.version > schemaVersion:
		return false, fmt.Errorf("%w: its version is %d, and this program knows %d; use a newer program", ErrForeign, h.version, schemaVersion)
	default:
		return false, nil
	}
}

// probe refuses a file that is not ours before anything is written to it: a
// connection that is to write changes the file's journal mode first. It reads
// through SQLite because closing a file of this process that SQLite has open
// would drop SQLite's locks.
func probe(ctx context.Context, path string, s *SQLite) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil // there is nothing yet, or opening reports what is wrong
	}
	params := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if log, err := os.Stat(real + "-wal"); err != nil || log.Size() == 0 {
		params.Set("immutable", "1") // no log is made for looking at it
	}
	db, err := sql.Open("sqlite", location(path, params))
	if err != nil {
		return err
	}
	defer db.Close()
	var h header
	err = s.retry(ctx, func() error {
		return h.read(func(query string) interface{ Scan(dest ...any) error } { return db.QueryRowContext(ctx, query) })
	})
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_NOTADB {
		return fmt.Errorf("%w: it is no SQLite file", ErrForeign)
	}
	if err == nil {
		_, err = h.check()
	}
	return err
}
