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
)

// A database is the file of an engine: its connections, who may write to it, and
// what is known of its queues.
//
// Locking: turn comes before bells.mu and files.mu. Nothing waits for a turn
// while it holds one of the others.
type database struct {
	path    string
	machine machine
	done    chan struct{} // closed when the engine is

	readers *sql.DB
	writers *sql.DB

	// turn guards the fields below. It is a channel because waiting for it must
	// end with a context.
	turn    chan struct{}
	closed  bool
	writer  *sql.Conn // the only connection of this engine that writes
	prepare map[string]*sql.Stmt
	queues  map[string]*queueRow
	foreign int64 // SQLite's count of what other processes have committed

	files files
	bells bells
}

// openDatabase opens the file at path and creates it if it does not exist.
func openDatabase(ctx context.Context, path string, o *Options) (*database, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &database{
		path: path, machine: newMachine(o), done: make(chan struct{}), turn: make(chan struct{}, 1),
		prepare: map[string]*sql.Stmt{}, queues: map[string]*queueRow{},
	}
	s.bells.watch, s.bells.done = s.watch, s.done
	sync := "NORMAL"
	if o != nil && o.Sync {
		sync = "FULL"
	}
	if err := probe(ctx, abs, s); err != nil {
		return nil, err
	}
	// The writer does its own waiting, which ends with a context.
	if s.writers, err = sql.Open("sqlite", dsn(abs, 0, sync)); err == nil {
		s.readers, err = sql.Open("sqlite", dsn(abs, 5*time.Second, sync))
	}
	if err == nil {
		s.writers.SetMaxOpenConns(1)
		s.readers.SetMaxOpenConns(2)
		err = s.retry(ctx, func() error {
			s.writer, err = s.writers.Conn(ctx)
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
		if err := h.read(func(query string) interface{ Scan(dest ...any) error } { return tx.row(query) }); err != nil {
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

// build runs what brings the file to the schema that this program knows.
func (db *database) build(queries []string) error {
	for _, q := range append(slices.Clone(queries),
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)) {
		if _, err := db.writer.ExecContext(context.Background(), q); err != nil {
			return err
		}
	}
	return nil
}

// releaseDelivery closes the connections.
func (db *database) release() error {
	errs := []error{db.files.close()}
	for _, stmt := range db.prepare {
		errs = append(errs, stmt.Close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.Close())
	}
	if db.writers != nil {
		errs = append(errs, db.writers.Close())
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

// Moved returns an error, which is [ErrMoved], if the file that the engine has
// open is not what is at its path now, or was truncated or overwritten in place.
// Every operation begins with it, and one that writes ends with it.
func (db *database) Moved() error {
	if err := db.files.moved(); err != nil {
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
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return false
}

// sqliteCode returns the primary code of a SQLite error, and 0 for other
// errors.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
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

// exclusive runs do in a transaction that has no time yet.
func (db *database) exclusive(ctx context.Context, do func(tx *txn) error) error {
	tx := &txn{db: db}
	if err := db.retry(ctx, func() error { return tx.exec("BEGIN IMMEDIATE") }); err != nil {
		return err
	}
	err := do(tx)
	if err == nil {
		err = tx.flush()
	}
	if err == nil {
		err = tx.exec("COMMIT")
	}
	if err != nil {
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
// old.
func (db *database) write(ctx context.Context, name string, do func(tx *txn, q *queueRow) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer func() { <-db.turn }()
	return db.writeInTurn(ctx, name, do)
}

func (db *database) writeInTurn(ctx context.Context, name string, do func(tx *txn, q *queueRow) error) error {
	for more := true; more; {
		err := db.transact(ctx, func(tx *txn) error {
			q, oldest, err := tx.queue(name)
			if err != nil {
				return err
			}
			if more, err = tx.expire(q, oldest); err != nil || more {
				return err
			}
			return do(tx, q)
		})
		if err != nil {
			return db.wrap(err)
		}
	}
	return nil
}

// file runs do in a transaction that is about no single queue.
func (db *database) file(ctx context.Context, do func(tx *txn) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer func() { <-db.turn }()
	return db.wrap(db.transact(ctx, do))
}

// read runs do, which must not write.
func (db *database) read(ctx context.Context, do func(tx *txn) error) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer func() { <-db.turn }()
	return db.wrap(db.retry(ctx, func() error {
		tx := &txn{db: db}
		if err := tx.tick(false); err != nil {
			return err
		}
		return do(tx)
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

// wrap names the file in an error of SQLite'db. A file that is damaged under
// SQLite's hands is ErrMoved here too.
func (db *database) wrap(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	if moved := db.files.failed(e.Code()); moved != nil {
		err = moved
	}
	return fmt.Errorf("queue file %q: %w", db.path, err)
}
