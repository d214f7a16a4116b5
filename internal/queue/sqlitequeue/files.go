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
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sluice-go/sluice/internal/queue"
)

// files are those that a SQLite engine has open: the database, and the log and
// its index beside it. Writes to a file that was deleted or moved are not seen
// by those who open its path, and without its own log and index two processes
// don't see each other's locks. A file that was truncated or overwritten in
// place is still the same file, and SQLite keeps using the pages that it has in
// memory.
type files struct {
	mu     sync.Mutex
	db     watched
	log    watched
	index  watched
	reader *os.File // of the log, which SQLite has no locks on
	state  fileState
	salts  [8]byte   // of the log's header, new whenever the log is begun anew
	broken error     // set once a file was damaged in place: the pages in memory are then invalid
	looked time.Time // when all were seen to be intact
}

// watched is a file and what the last look at it showed. The zero watched is of a
// file that does not exist.
type watched struct {
	path string
	was  sight
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
	for w, p := range map[*watched]string{&f.db: path, &f.log: real + "-wal", &f.index: real + "-shm"} {
		was, err := lookAt(p)
		if w != &f.db && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "stat", Path: p, Err: err}
		}
		*w = watched{p, was}
	}
	if f.log.path != "" {
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

// justLooked is how long after a look an operation that ends with another leaves
// out the part of its first that the other makes up for.
const justLooked = time.Millisecond

// moved returns an error if one of the files is not at its path any more, or
// was truncated or overwritten. It costs a stat for each, a read of the log's
// header when the log has changed, and a look into the database after a
// checkpoint.
func (f *files) moved() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.movedAway()
}

// damaged is moved for an operation that is to write and ends with moved. If the
// last look was a moment ago it looks only for what can't be seen after the write: a
// log that was cut is long again by then, and an index that was cut kills.
func (f *files) damaged() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil || f.reader == nil || f.index.path == "" || time.Since(f.looked) >= justLooked {
		return f.movedAway()
	}
	now, err := lookInto(f.reader)
	if err == nil {
		err = f.compare(&f.log, &now, f.logIntact)
	}
	if err != nil {
		return err
	}
	return f.lookAgain(&f.index, f.indexIntact)
}

// movedAway is moved for a caller that holds the mutex.
func (f *files) movedAway() error {
	if f.broken != nil {
		return f.broken
	}
	f.looked = time.Time{}
	for _, c := range [...]struct {
		at     *watched
		intact intact
	}{{&f.db, f.dbIntact}, {&f.log, f.logIntact}, {&f.index, f.indexIntact}} {
		if err := f.lookAgain(c.at, c.intact); err != nil {
			return err
		}
	}
	f.looked = time.Now()
	return nil
}

// intact returns an error if a file that has changed was damaged, and reports
// whether that could be seen.
type intact func(now *sight) (seen bool, err error)

// lookAgain looks at a file that is at its path, or should be.
func (f *files) lookAgain(w *watched, intact intact) error {
	if w.path == "" {
		return nil
	}
	now, err := lookAt(w.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s no longer exists", queue.ErrMoved, w.path)
	case err != nil:
		return nil //nolint:nilerr // it is there, and SQLite reports what is wrong
	case !now.same(&w.was):
		return fmt.Errorf("%w: another %s is in its place", queue.ErrMoved, w.path)
	}
	return f.compare(w, &now, intact)
}

// compare compares what a file looks like with what the last look showed.
func (f *files) compare(w *watched, now *sight, intact intact) error {
	if now.unchanged(&w.was) {
		return nil
	}
	seen, err := intact(now)
	if err != nil {
		f.broken = fmt.Errorf("%w: %s %w", queue.ErrMoved, w.path, err)
		return f.broken
	}
	if seen {
		w.was = *now
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
func (f *files) dbIntact(now *sight) (seen bool, err error) {
	shrunk := now.size() < f.db.was.size()
	if shrunk && now.size() == 0 {
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

// logIntact looks at a log that has changed. SQLite truncates it after a
// checkpoint or restarts it with other salts; otherwise it only grows. A log
// that was truncated to zero bytes is noticed at the next write, which leaves a
// hole in place of the header.
func (f *files) logIntact(now *sight) (seen bool, err error) {
	size, salts, err := f.readLog()
	switch {
	case err != nil:
		return false, err
	case size == 0:
		return true, nil
	case salts == f.salts && now.size() < f.log.was.size() && now.size() < logLimit:
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
// So the file is extended to its former length, and SQLite rebuilds an index of
// zeros.
func (f *files) indexIntact(now *sight) (seen bool, err error) {
	if now.size() >= f.index.was.size() {
		return true, nil
	}
	return false, errors.Join(errTruncated, os.Truncate(f.index.path, f.index.was.size()))
}
