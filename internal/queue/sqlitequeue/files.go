package sqlitequeue

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sluice-go/sluice/internal/queue"
)

// files are those that a SQLite engine has open: the database, and the log and
// its index beside it. Writes to a file that was deleted or moved are not seen
// by those who open its path, and without its own log and index two processes
// don't see each other's locks. A file that was truncated or overwritten in
// place is the same file still, and SQLite goes on with the pages that it has
// in memory.
type files struct {
	mu     sync.Mutex
	db     watched
	log    watched
	index  watched
	reader *os.File // of the log, which SQLite has no locks on
	state  fileState
	salts  [8]byte // of the log's header, new whenever the log is begun anew
	broken error   // set once a file was damaged in place: the pages in memory are then invalid
}

// watched is a file and how it was when it was looked at last. The zero watched
// is of a file that does not exist.
type watched struct {
	path string
	info os.FileInfo
}

// fileState is read from the database file alone, without its log.
type fileState struct {
	id   int64 // the application's; 0 until the first checkpoint
	time int64 // of the file's clock, which never goes back; 0 until the first checkpoint
}

const (
	logHeader = 32         // bytes
	logMagic  = 0x377f0682 // with either value of the last bit
	logLimit  = 64 << 20   // what SQLite cuts a longer log down to when it begins it anew
)

// remember notes the files, which are open.
func (f *files) remember(ctx context.Context, path string) error {
	// SQLite follows links before it names the log.
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	f.db.path = path
	for w, p := range map[*watched]string{&f.db: path, &f.log: real + "-wal", &f.index: real + "-shm"} {
		info, err := os.Stat(p)
		if w != &f.db && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		*w = watched{p, info}
	}
	if f.log.info != nil {
		if f.reader, err = os.Open(f.log.path); err != nil {
			return err
		}
		if _, f.salts, err = f.readLog(); err != nil {
			return err
		}
	}
	// A checkpoint may be under way, and the next look is as good.
	f.state, _ = readState(ctx, path)
	return nil
}

// close must come before SQLite's own.
func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader == nil {
		return nil
	}
	err := f.reader.Close()
	f.reader = nil
	return err
}

// moved returns an error if one of the files is not at its path any more, or
// was truncated or overwritten. It costs a stat for each, a read of the log's
// header when the log has changed, and a look into the database after a
// checkpoint.
func (f *files) moved() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	for _, look := range []struct {
		at     *watched
		intact func(now os.FileInfo) (seen bool, err error)
	}{{&f.db, f.dbIntact}, {&f.log, f.logIntact}, {&f.index, f.indexIntact}} {
		w := look.at
		if w.info == nil {
			continue
		}
		now, err := os.Stat(w.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: there is no %s any more", queue.ErrMoved, w.path)
		case err != nil:
			continue
		case !os.SameFile(now, w.info):
			return fmt.Errorf("%w: another %s is in its place", queue.ErrMoved, w.path)
		case now.Size() == w.info.Size() && now.ModTime().Equal(w.info.ModTime()):
			continue
		}
		seen, err := look.intact(now)
		if err != nil {
			f.broken = fmt.Errorf("%w: %s %w", queue.ErrMoved, w.path, err)
			return f.broken
		}
		if seen {
			w.info = now
		}
	}
	return nil
}

// failed returns why SQLite failed with that code, if the reason is the files.
func (f *files) failed(code int) error {
	switch code & 0xff {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
	default:
		return nil
	}
	if err := f.moved(); err != nil || code != sqlite3.SQLITE_IOERR_SHORT_READ {
		return err
	}
	// SQLite read a page that is in the log according to its index.
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = fmt.Errorf("%w: %s %w", queue.ErrMoved, f.log.path, errTruncated)
	return f.broken
}

var (
	errTruncated   = errors.New("was truncated")
	errOverwritten = errors.New("was overwritten")
)

// dbIntact looks at a database file that has changed. Only checkpoints write to
// it, and only VACUUM makes it smaller. In the middle of a checkpoint its header
// may not fit its size, so that a file which cannot be read has not been seen.
func (f *files) dbIntact(now os.FileInfo) (seen bool, err error) {
	shrunk := now.Size() < f.db.info.Size()
	if shrunk && now.Size() == 0 {
		return false, errTruncated
	}
	state, err := readState(context.Background(), f.db.path)
	switch code := sqliteCode(err); {
	case code == sqlite3.SQLITE_NOTADB:
		return false, errOverwritten
	case shrunk && (code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_IOERR):
		return false, errTruncated
	case err != nil:
		return false, nil //nolint:nilerr // it may be a checkpoint that is under way: the next operation looks again
	case state.id != applicationID && state.id != f.state.id, state.time < f.state.time:
		return false, errOverwritten
	}
	f.state = state
	return true, nil
}

// readState reads the database file without its log and without locks, by way
// of SQLite: closing a file of this process that SQLite has open would drop
// SQLite's locks.
func readState(ctx context.Context, path string) (fileState, error) {
	db, err := sql.Open("sqlite", location(path, url.Values{"mode": {"ro"}, "immutable": {"1"}}))
	if err != nil {
		return fileState{}, err
	}
	defer db.Close()
	var s fileState
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&s.id); err != nil {
		return fileState{}, err
	}
	err = db.QueryRowContext(ctx, "SELECT time FROM clock").Scan(&s.time)
	if errors.Is(err, sql.ErrNoRows) || sqliteCode(err) == sqlite3.SQLITE_ERROR {
		return s, nil // there is no such table yet
	}
	return s, err
}

// logIntact looks at a log that has changed. SQLite empties it after a
// checkpoint or begins it anew from its start, with other salts; else it only
// grows. A log that was truncated to nothing is noticed at the next write, which
// leaves a hole in the place of the header.
func (f *files) logIntact(now os.FileInfo) (seen bool, err error) {
	size, salts, err := f.readLog()
	switch {
	case err != nil:
		return false, err
	case size == 0:
		return true, nil
	case salts == f.salts && now.Size() < f.log.info.Size() && now.Size() < logLimit:
		return false, errTruncated
	}
	f.salts = salts
	return true, nil
}

// readLog reads the log's header, which an empty log does not have.
func (f *files) readLog() (size int, salts [8]byte, err error) {
	if f.reader == nil {
		return 0, f.salts, nil // it is closed
	}
	var b [logHeader]byte
	switch size, err = f.reader.ReadAt(b[:], 0); {
	case err != nil && !errors.Is(err, io.EOF), size == 0:
		return 0, f.salts, nil
	case size < logHeader:
		return size, salts, errTruncated
	case binary.BigEndian.Uint32(b[:])&^1 != logMagic:
		return size, salts, errOverwritten
	}
	copy(salts[:], b[16:24])
	return size, salts, nil
}

// indexIntact looks at an index that has changed, which only grows. SQLite has
// it mapped: a process that touches what was cut off dies, also of closing it.
// So the file gets its length back, and SQLite makes an index of zeros anew.
func (f *files) indexIntact(now os.FileInfo) (seen bool, err error) {
	if now.Size() >= f.index.info.Size() {
		return true, nil
	}
	return false, errors.Join(errTruncated, os.Truncate(f.index.path, f.index.info.Size()))
}
