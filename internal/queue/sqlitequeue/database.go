package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue/internal/direct"
)

// A database is the file of an engine: its connections, the turn of its writer,
// and a cache of its queues.
//
// Locking: turn comes before bells.mu and files.mu. Nothing waits for a turn
// while it holds one of the others.
type database struct {
	path    string
	machine machine
	done    chan struct{} // closed when the engine is

	readers *sql.DB
	sync    bool // commits wait for the disk

	// turn guards the fields below. It is a channel because waiting for it must
	// end with a context.
	turn    chan struct{}
	closed  bool
	writer  *direct.Conn // the only connection of this engine that writes
	synced  bool         // the writer's commits wait for the disk now
	known   known
	foreign int64 // SQLite's count of what other processes have committed

	works works
	files files
	bells bells
}

// openDatabase opens the file at path and creates it if it does not exist.
func openDatabase(ctx context.Context, path string, o *Options) (*database, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// The driver's default is fsync. SQLite's own builds for Linux call fdatasync, which leaves
	// out the file's times: no reader of the file needs them. On systems without it the driver
	// keeps its default.
	_, _ = sqlite.Fdatasync(true)
	s := &database{
		path: path, machine: newMachine(o), done: make(chan struct{}), turn: make(chan struct{}, 1),
		known: known{queues: map[string]*knownQueue{}},
	}
	s.bells.watch, s.bells.done = s.watch, s.done
	sync := "NORMAL"
	if o != nil && o.Sync {
		sync, s.sync, s.synced = "FULL", true, true
	}
	if err := probe(ctx, abs, s); err != nil {
		return nil, err
	}
	if s.readers, err = sql.Open("sqlite", dsn(abs, 5*time.Second, sync)); err == nil {
		s.readers.SetMaxOpenConns(2)
		// The writer does its own waiting, which ends with a context.
		err = s.retry(ctx, func() error {
			s.writer, err = openWriter(abs, sync)
			return err
		})
	}
	if err == nil {
		err = s.migrate(ctx)
	}
	if err == nil {
		err = s.files.remember(ctx, abs)
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// migrate creates the schema in a new file, upgrades an older one, and refuses
// a file that is not ours.
func (db *database) migrate(ctx context.Context) error {
	return db.exclusive(ctx, func(tx *txn) error {
		var h header
		if err := h.read(func(query string) scanner { return tx.row(query) }); err != nil {
			return err
		}
		empty, err := h.check()
		switch {
		case err != nil:
			return err
		case empty:
			return db.build(schema)
		case h.version < schemaVersion:
			return db.build(slices.Concat(upgrades[h.version-1:]...))
		default:
			return nil
		}
	})
}

// openWriter opens the connection that writes.
func openWriter(path, sync string) (*direct.Conn, error) {
	c, err := direct.Open(location(path, nil))
	if err != nil {
		return nil, err
	}
	for _, pragma := range pragmas(sync) {
		if err := c.Run("PRAGMA " + pragma); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// build runs what brings the file to the schema that this program knows.
func (db *database) build(queries []string) error {
	for _, q := range append(slices.Clone(queries),
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)) {
		if err := db.writer.Run(q); err != nil {
			return err
		}
	}
	return nil
}

// release closes the connections.
func (db *database) release() error {
	errs := []error{db.files.close()}
	if db.writer != nil {
		errs = append(errs, db.writer.Close())
	}
	if db.readers != nil {
		errs = append(errs, db.readers.Close())
	}
	return errors.Join(errs...)
}

// watch reports whether other processes have committed something since it was
// called last. It looks into memory that the processes share.
func (db *database) watch() bool {
	select {
	case db.turn <- struct{}{}:
	case <-db.done:
		return false
	}
	defer func() { <-db.turn }()
	if db.closed {
		return false
	}
	if db.Moved() != nil {
		return true // as below
	}
	tx := &txn{db: db}
	var n int64
	if err := tx.row("PRAGMA data_version").Scan(&n); err != nil {
		return true // whoever waits shall look, and meet the error
	}
	changed := n != db.foreign
	db.foreign = n
	return changed
}

// enter waits for the turn.
func (db *database) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case db.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if db.closed {
		<-db.turn
		return queue.ErrClosed
	}
	if err := db.Moved(); err != nil {
		<-db.turn
		return err
	}
	return nil
}

// Moved returns [ErrMoved] if the engine's open file is no longer the file at
// its path, or was truncated or overwritten in place. Every operation begins
// with it, and one that writes ends with it and may begin with less: see damaged.
func (db *database) Moved() error { return db.lost(db.files.moved()) }

// lost names the file in an error of files.
func (db *database) lost(err error) error {
	if err != nil {
		return fmt.Errorf("queue file %q: %w", db.path, err)
	}
	return nil
}

// lockPatience is how long a transaction waits for those of other processes.
const lockPatience = 30 * time.Second

// retry repeats do while other processes hold the file's lock.
func (db *database) retry(ctx context.Context, do func() error) error {
	err := do()
	if !isBusy(err) {
		return err
	}
	patience := time.NewTimer(lockPatience)
	defer patience.Stop()
	for wait := 100 * time.Microsecond; isBusy(err); wait = min(2*wait, 10*time.Millisecond) {
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-patience.C:
			return fmt.Errorf("queue file %q: another process has held its lock for %v: %w", db.path, lockPatience, err)
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
		err = do()
	}
	return err
}

func isBusy(err error) bool {
	if err == nil {
		return false
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return false
}

// sqliteCode returns the primary code of a SQLite error, and 0 for other
// errors.
func sqliteCode(err error) int {
	code, _ := extendedCode(err)
	return code & 0xff
}

// extendedCode returns the code of a SQLite error, of either way to SQLite.
func extendedCode(err error) (code int, ok bool) {
	var e interface {
		error
		Code() int
	}
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}

// transact runs do in a transaction. The caller has the turn.
func (db *database) transact(ctx context.Context, do func(tx *txn) error) error {
	return db.exclusive(ctx, func(tx *txn) error {
		if err := tx.tick(true); err != nil {
			return err
		}
		return do(tx)
	})
}

// exclusive runs do in a transaction that has no time yet. The caller has the turn.
func (db *database) exclusive(ctx context.Context, do func(tx *txn) error) error {
	return db.commit(ctx, db.sync, do)
}

// commit is exclusive, with a commit that waits for the disk if sync is set.
func (db *database) commit(ctx context.Context, sync bool, do func(tx *txn) error) error {
	if sync != db.synced {
		mode := "PRAGMA synchronous = NORMAL"
		if sync {
			mode = "PRAGMA synchronous = FULL"
		}
		if err := db.writer.Run(mode); err != nil {
			return err
		}
		db.synced = sync
	}
	tx := &txn{db: db}
	err := tx.exec("BEGIN IMMEDIATE")
	if isBusy(err) {
		err = db.retry(ctx, func() error { return tx.exec("BEGIN IMMEDIATE") })
	}
	if err != nil {
		return err
	}
	if err = do(tx); err == nil {
		err = tx.flush()
	}
	if err == nil {
		err = tx.exec("COMMIT")
	}
	if err != nil {
		db.known.undo()
		_ = tx.exec("ROLLBACK") // the first error is the one to report; a failed commit may have rolled back
		return err
	}
	// Work that was written to a file which is no longer at its path is lost.
	if err := db.Moved(); err != nil {
		return err
	}
	for _, name := range tx.rings {
		db.bells.ring(name)
	}
	for _, d := range tx.dues {
		db.bells.due(d.name, d.at)
	}
	return nil
}

// write runs do on a queue in a transaction, after it has removed what is too
// old. Those who wait for the turn meanwhile share the next transaction. do may run
// more than once, and in another's goroutine.
func (db *database) write(ctx context.Context, name string, do func(tx *txn, q *queueRow) error) error {
	return db.carryOut(ctx, &work{name: name, sync: db.sync, do: do})
}

// carryOut does a work, alone or with those of others.
func (db *database) carryOut(ctx context.Context, w *work) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.done = make(chan struct{})
	db.works.add(w)
	select {
	case <-w.done:
		return w.err
	case db.turn <- struct{}{}:
	case <-ctx.Done():
		if db.works.remove(w) {
			return ctx.Err()
		}
		<-w.done
		return w.err
	}
	defer func() { <-db.turn }()
	select {
	case <-w.done: // by those who had the turn before
		return w.err
	default:
	}
	err := queue.ErrClosed
	if !db.closed {
		err = db.lost(db.files.damaged()) // the transaction ends with moved
	}
	if err == nil {
		err = db.together(ctx)
	}
	if err != nil {
		db.works.remove(w)
		return db.wrap(err)
	}
	return w.err
}

// together carries out the works that wait, in one transaction. If one of them
// fails the transaction is undone, and each has one of its own. An error is that of
// a transaction that could not begin: no work was taken. The caller has the turn.
func (db *database) together(ctx context.Context) error {
	sync := db.works.sync()
	var ws []*work
	err := db.commit(ctx, sync, func(tx *txn) error {
		if err := tx.tick(true); err != nil {
			return err
		}
		ws = db.works.take(sync)
		for _, w := range ws {
			if err := w.carryOut(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if ws == nil {
		return err
	}
	for _, w := range ws {
		switch {
		case err == nil && !w.more:
		case err == nil || len(ws) > 1 && !errors.Is(err, queue.ErrMoved):
			w.err = db.alone(w)
		default:
			w.err = err
		}
		w.err = db.wrap(w.err)
		close(w.done)
	}
	return nil
}

// alone carries out one work, in as many transactions as it takes to remove what is
// too old before it. The caller has the turn.
func (db *database) alone(w *work) error {
	for {
		// The caller's context may not be the work's. The lock is waited for with
		// patience, and not for ever.
		err := db.commit(context.Background(), w.sync, func(tx *txn) error {
			if err := tx.tick(true); err != nil {
				return err
			}
			return w.carryOut(tx)
		})
		if err != nil || !w.more {
			return errors.Join(err, w.err)
		}
	}
}

// file runs do in a transaction that is about no single queue.
func (db *database) file(ctx context.Context, do func(tx *txn) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer func() { <-db.turn }()
	return db.wrap(db.transact(ctx, do))
}

// read runs do, which must not write. Its statements see one moment: what one of them finds
// missing another engine may have added before the next.
func (db *database) read(ctx context.Context, do func(tx *txn) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer func() { <-db.turn }()
	return db.wrap(db.retry(ctx, func() error {
		tx := &txn{db: db}
		err := tx.exec("BEGIN")
		if err != nil {
			return err
		}
		if err = tx.tick(false); err == nil {
			err = do(tx)
		}
		if end := tx.exec("ROLLBACK"); err == nil { // there is nothing to undo
			err = end
		}
		return err
	}))
}

// reading is the error of a reader's query.
func (db *database) reading(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-db.done:
		return queue.ErrClosed
	default:
		return db.wrap(err)
	}
}

// wrap names the file in an error of SQLite's. A file that is damaged under
// SQLite's hands is ErrMoved here too.
func (db *database) wrap(err error) error {
	code, ok := extendedCode(err)
	if !ok {
		return err
	}
	if moved := db.files.failed(code); moved != nil {
		err = moved
	}
	return fmt.Errorf("queue file %q: %w", db.path, err)
}
