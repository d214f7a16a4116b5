package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite is an [Engine] that keeps its queues in a SQLite file. Several
// processes, and several engines of one process, may use one file at once. The
// file must be on a local disk: SQLite's locks do not work over a network.
//
// Every operation is one transaction. What has returned is in the file when the
// process is killed; see [Options] for what a power cut does.
type SQLite struct {
	path    string
	machine machine
	done    chan struct{} // closed by Close
	tasks   sync.WaitGroup

	readers *sql.DB
	writers *sql.DB

	// turn is held by whoever uses what follows. A channel, since waiting for it
	// must end with a context.
	turn    chan struct{}
	closed  bool
	writer  *sql.Conn // the only connection of this engine that writes
	prepare map[string]*sql.Stmt
	queues  map[string]*sqlQueue
	moving  map[string]chan struct{} // the tasks that this engine runs, by handle; closed to cancel

	files   files
	foreign int64 // SQLite's count of what other processes have committed

	bells bells
}

var _ Engine = (*SQLite)(nil)

// sqlQueue is what is known of a queue, as long as the file has that version of
// it. It is never changed.
type sqlQueue struct {
	id, version int64
	name        string
	created     int64
	config      Config
}

func (q *sqlQueue) low() int64  { return q.id << seqBits }
func (q *sqlQueue) high() int64 { return (q.id + 1) << seqBits }

// OpenSQLite opens the file at path, which is made where it does not exist.
func OpenSQLite(ctx context.Context, path string, o *Options) (*SQLite, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("queue file %q: %w", path, err)
	}
	s := &SQLite{
		path: path, machine: newMachine(o), done: make(chan struct{}), turn: make(chan struct{}, 1),
		prepare: map[string]*sql.Stmt{}, queues: map[string]*sqlQueue{}, moving: map[string]chan struct{}{},
	}
	s.bells.watch, s.bells.done = s.watch, s.done
	sync := "NORMAL"
	if o != nil && o.Sync {
		sync = "FULL"
	}
	if err := probe(ctx, abs, s); err != nil {
		return nil, fmt.Errorf("queue file %q: %w", path, err)
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
		return nil, errors.Join(fmt.Errorf("queue file %q: %w", path, err), s.release())
	}
	return s, nil
}

// migrate makes the schema in a new file, and refuses a file that is not ours.
func (s *SQLite) migrate(ctx context.Context) error {
	return s.exclusive(ctx, func(tx *sqlTx) error {
		var h header
		if err := h.read(func(query string) interface{ Scan(dest ...any) error } { return tx.row(query) }); err != nil {
			return err
		}
		empty, err := h.check()
		switch {
		case err != nil:
			return err
		case empty:
			return s.build(schema)
		case h.version < schemaVersion:
			return s.build(slices.Concat(upgrades[h.version-1:]...))
		default:
			return nil
		}
	})
}

// build runs what brings the file to the schema that this program knows.
func (s *SQLite) build(queries []string) error {
	for _, q := range append(slices.Clone(queries),
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)) {
		if _, err := s.writer.ExecContext(context.Background(), q); err != nil {
			return err
		}
	}
	return nil
}

// release closes the connections.
func (s *SQLite) release() error {
	errs := []error{s.files.close()}
	for _, stmt := range s.prepare {
		errs = append(errs, stmt.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.writers != nil {
		errs = append(errs, s.writers.Close())
	}
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	return errors.Join(errs...)
}

// Close implements [Engine]. Tasks that this engine runs fail. A second call
// returns nil.
func (s *SQLite) Close() error {
	s.turn <- struct{}{}
	if s.closed {
		<-s.turn
		return nil
	}
	s.closed = true
	close(s.done)
	err := s.abandon()
	<-s.turn
	s.tasks.Wait()
	s.bells.eyes.Wait()
	return errors.Join(err, s.release())
}

// watch tells whether other processes have committed something since it was
// asked last. It looks into memory that the processes share.
func (s *SQLite) watch() bool {
	select {
	case s.turn <- struct{}{}:
	case <-s.done:
		return false
	}
	defer func() { <-s.turn }()
	if s.closed {
		return false
	}
	if s.Moved() != nil {
		return true // as below
	}
	tx := &sqlTx{s: s}
	var n int64
	if err := tx.row("PRAGMA data_version").Scan(&n); err != nil {
		return true // whoever waits shall look, and meet the error
	}
	changed := n != s.foreign
	s.foreign = n
	return changed
}

// enter waits for the turn.
func (s *SQLite) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.closed {
		<-s.turn
		return ErrClosed
	}
	if err := s.Moved(); err != nil {
		<-s.turn
		return err
	}
	return nil
}

// Moved returns an error, which is [ErrMoved], if the file that the engine has
// open is not what is at its path now, or was truncated or overwritten in place.
// Every operation begins with it, and one that writes ends with it.
func (s *SQLite) Moved() error {
	if err := s.files.moved(); err != nil {
		return fmt.Errorf("queue file %q: %w", s.path, err)
	}
	return nil
}

// lockPatience is how long a transaction waits for those of other processes.
const lockPatience = 30 * time.Second

// retry does it again while other processes hold the file's lock.
func (s *SQLite) retry(ctx context.Context, do func() error) error {
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
			return fmt.Errorf("queue file %q: another process has held its lock for %v: %w", s.path, lockPatience, err)
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

// sqliteCode returns the primary code of an error of SQLite's, and else 0.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// transact runs do in a transaction. The caller has the turn.
func (s *SQLite) transact(ctx context.Context, do func(tx *sqlTx) error) error {
	return s.exclusive(ctx, func(tx *sqlTx) error {
		if err := tx.tick(true); err != nil {
			return err
		}
		return do(tx)
	})
}

// exclusive runs do in a transaction that has no time yet.
func (s *SQLite) exclusive(ctx context.Context, do func(tx *sqlTx) error) error {
	tx := &sqlTx{s: s}
	if err := s.retry(ctx, func() error { return tx.exec("BEGIN IMMEDIATE") }); err != nil {
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
	// What was written to a file that nobody finds is not done.
	if err := s.Moved(); err != nil {
		return err
	}
	for _, name := range tx.rings {
		s.bells.ring(name)
	}
	for _, d := range tx.dues {
		s.bells.due(d.name, d.at)
	}
	return nil
}

// write runs do on a queue in a transaction, after it has removed what is too
// old.
func (s *SQLite) write(ctx context.Context, name string, do func(tx *sqlTx, q *sqlQueue) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	return s.writeInTurn(ctx, name, do)
}

func (s *SQLite) writeInTurn(ctx context.Context, name string, do func(tx *sqlTx, q *sqlQueue) error) error {
	for more := true; more; {
		err := s.transact(ctx, func(tx *sqlTx) error {
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
			return s.wrap(err)
		}
	}
	return nil
}

// wrap names the file in an error of SQLite's. A file that is damaged under
// SQLite's hands is ErrMoved here too.
func (s *SQLite) wrap(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	if moved := s.files.failed(e.Code()); moved != nil {
		err = moved
	}
	return fmt.Errorf("queue file %q: %w", s.path, err)
}
