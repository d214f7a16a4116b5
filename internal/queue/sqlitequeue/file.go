package sqlitequeue

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sluice-go/sluice/internal/queue"
)

func location(path string, params url.Values) string {
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: params.Encode()}).String()
}

// dsn is how the file of an engine is opened.
func dsn(path string, busy time.Duration, sync string) string {
	return location(path, url.Values{"_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds())}, pragmas(sync)...)})
}

// pragmas are those of a connection to the file of an engine.
func pragmas(sync string) []string {
	return []string{"journal_mode(WAL)", fmt.Sprintf("synchronous(%s)", sync), "cache_size(-16000)", "journal_size_limit(67108864)"}
}

// A header identifies the program that a file belongs to.
type header struct{ id, version, tables int64 }

// read must be called in a transaction: another process may be making the file.
func (h *header) read(row func(query string) scanner) error {
	if err := row("PRAGMA application_id").Scan(&h.id); err != nil {
		return err
	}
	if err := row("PRAGMA user_version").Scan(&h.version); err != nil || h.id != 0 || h.version != 0 {
		return err
	}
	return row("SELECT count(*) FROM sqlite_schema").Scan(&h.tables)
}

// check reports whether the schema must be created. It returns an error if the
// file is not ours, or not of a version that this program knows.
func (h *header) check() (empty bool, err error) {
	switch {
	case *h == header{}:
		return true, nil
	case h.id != applicationID:
		return false, fmt.Errorf("%w: it is another program's SQLite file", queue.ErrForeign)
	case h.version < 1 || h.version > schemaVersion:
		return false, fmt.Errorf("%w: its version is %d, but this program supports %d; use a newer program", queue.ErrForeign, h.version, schemaVersion)
	default:
		return false, nil
	}
}

// probe refuses a file that is not ours before anything is written to it: a
// connection that is to write changes the file's journal mode first. It reads
// through SQLite because closing a file of this process that SQLite has open
// would drop SQLite's locks.
func probe(ctx context.Context, path string, db *database) error {
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
	look, err := sql.Open("sqlite", location(path, params))
	if err != nil {
		return err
	}
	defer look.Close()
	var h header
	err = db.retry(ctx, func() error {
		tx, err := look.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // it has only read
		return h.read(func(query string) scanner { return tx.QueryRowContext(ctx, query) })
	})
	if sqliteCode(err) == sqlite3.SQLITE_NOTADB {
		return fmt.Errorf("%w: it is not a SQLite file", queue.ErrForeign)
	}
	if err == nil {
		_, err = h.check()
	}
	return err
}
