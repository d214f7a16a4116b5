package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// files are the open files of an Opener.
type files struct {
	mu   sync.Mutex
	open map[fileKey]*file
}

// A fileKey identifies an open file. One that is opened in both modes is open twice.
type fileKey struct {
	path string
	sync bool
}

// A file is an open file with its number of users; the last closes it.
type file struct {
	files  *files
	key    fileKey
	engine *sqlitequeue.Engine
	users  int
}

// get opens the file, or shares it if it is open already. The caller releases
// it.
func (fs *files) get(ctx context.Context, p place) (*file, error) {
	path, err := filepath.Abs(p.path)
	if err != nil {
		return nil, err
	}
	// Links to one file share it. A file that does not exist yet has no links.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	key := fileKey{path, p.sync}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.open[key]
	// Users of a file that was moved keep it, and its errors.
	if f == nil || f.engine.Moved() != nil {
		engine, err := sqlitequeue.Open(ctx, p.path, &sqlitequeue.Options{Sync: p.sync})
		if err != nil {
			return nil, err
		}
		f = &file{files: fs, key: key, engine: engine}
		if fs.open == nil {
			fs.open = map[fileKey]*file{}
		}
		fs.open[key] = f
	}
	f.users++
	return f, nil
}

// release closes the file if nobody else uses it.
func (f *file) release() error {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	if f.files.open[f.key] == f {
		delete(f.files.open, f.key)
	}
	return f.engine.Close()
}

// classify returns the code of an error of a file, and the remedy.
func classify(err error) (drivers.Code, string) {
	switch {
	case errors.Is(err, queue.ErrForeign):
		return drivers.Invalid, "name another file"
	case errors.Is(err, queue.ErrMoved):
		return drivers.NotFound, "put the file back, or start the program again to use the file that is there now; the latest work may be in the file that is gone"
	}
	var e interface { // an error of SQLite
		error
		Code() int
	}
	if !errors.As(err, &e) {
		return drivers.Transient, ""
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CANTOPEN:
		return drivers.Denied, "its directory must exist, this user must be allowed to write the file and in its directory, and the name must not be a directory's"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return drivers.Denied, "this user must be allowed to write the file and in its directory"
	case sqlite3.SQLITE_NOTADB:
		return drivers.Invalid, "the file is not a SQLite file; name another"
	case sqlite3.SQLITE_CORRUPT:
		return drivers.Invalid, "the file is damaged; sqlite3's .recover may get the messages out of it"
	case sqlite3.SQLITE_TOOBIG:
		return drivers.Invalid, "a message can be a gigabyte at most"
	case sqlite3.SQLITE_FULL:
		return drivers.Transient, "the disk is full"
	default:
		return drivers.Transient, ""
	}
}
