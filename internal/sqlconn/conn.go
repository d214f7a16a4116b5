// Package sqlconn runs statements of ours in a database of the user's: it leaves a broken
// connection of the pool for another, classifies errors, and keeps pgx from preparing
// statements by name, which a pooler in transaction mode cannot serve.
package sqlconn

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// On calls f with a connection of the pool. If the connection fails, or its server
// may not be written to any more, it is thrown away and f is called with another: a
// failover leaves the pool full of such connections. f is called once for each that
// the pool had, and once for a new one: if that fails too, the server does. f must
// be safe to repeat.
func On[T any](ctx context.Context, db *sql.DB, f func(conn *sql.Conn) (T, error)) (T, error) {
	return on(ctx, db, Failed, f)
}

// Once is On for an f that is not safe to repeat: it is called again only if nothing was
// written. Either the server may not be written to, or a driver said driver.ErrBadConn, which
// means that the server has done nothing. f must commit by [Commit].
func Once[T any](ctx context.Context, db *sql.DB, f func(conn *sql.Conn) (T, error)) (T, error) {
	return on(ctx, db, unwritten, f)
}

// unwritten reports whether err shows that nothing was written.
func unwritten(err error) bool {
	var c *commitError
	return readOnly(err) || errors.Is(err, driver.ErrBadConn) && !errors.As(err, &c)
}

// Commit commits tx. [Once] does not repeat after an error of its connection: the commit may
// have happened. lib/pq returns driver.ErrBadConn then, too.
func Commit(tx *sql.Tx) error {
	if err := tx.Commit(); err != nil {
		return &commitError{err}
	}
	return nil
}

// A commitError is the error of a commit.
type commitError struct{ err error }

func (e *commitError) Error() string { return e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// on calls f again after errors that again accepts.
func on[T any](ctx context.Context, db *sql.DB, again func(error) bool, f func(conn *sql.Conn) (T, error)) (T, error) {
	for left := -1; ; left-- { // tries; the first is not counted
		conn, err := db.Conn(ctx)
		if err != nil {
			var zero T
			return zero, err
		}
		if left < 0 {
			left = db.Stats().OpenConnections // before f: database/sql closes some of them itself
		}
		v, err := f(conn)
		bad := Failed(err)
		if bad {
			Discard(conn)
		}
		if cerr := conn.Close(); err == nil && cerr != nil && !errors.Is(cerr, driver.ErrBadConn) {
			err = cerr
		}
		if !bad || !again(err) || left == 0 || ctx.Err() != nil {
			return v, err
		}
	}
}

// Discard has the pool throw a connection away when it is closed.
func Discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // which is what it returns
}

// Failed reports whether err is one of the connection, after which
// another may serve. It is false if ctx has ended or time is over: nothing shows
// then that the connection is at fault.
func Failed(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) {
		return false
	}
	switch state := State(err); {
	case readOnly(err):
		return true
	case state == "":
	case strings.HasPrefix(state, "08"), // connection exceptions
		state == "57P01", state == "57P02", state == "57P03", // admin_shutdown, crash_shutdown, cannot_connect_now
		state == "57P05": // idle_session_timeout
		return true
	default:
		return false
	}
	var op *net.OpError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &op) || strings.HasSuffix(err.Error(), "conn closed") || // pgx, of a connection that it has given up
		strings.HasSuffix(err.Error(), "invalid connection") // go-sql-driver, likewise
}

// readOnly reports whether err is a server's that may not be written to: it is a replica
// now. PostgreSQL says so by a code, MySQL and MariaDB by numbers of go-sql-driver's text.
func readOnly(err error) bool {
	if err == nil {
		return false
	}
	if state := State(err); state != "" {
		return state == "25006" // read_only_sql_transaction
	}
	text := err.Error()
	return strings.Contains(text, "Error 1290 (") && strings.Contains(text, "read-only") || // ER_OPTION_PREVENTS_STATEMENT
		strings.Contains(text, "Error 1792 (") || strings.Contains(text, "Error 1836 (") // in a read-only transaction, or mode
}

// State is PostgreSQL's error code (SQLSTATE), of pgx or lib/pq, or "".
func State(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// ConcurrentMigration reports whether err is PostgreSQL's answer to the loser of two
// concurrent CREATE … IF NOT EXISTS: the catalog's unique index, or the table's row type.
func ConcurrentMigration(err error) bool {
	switch State(err) {
	case "23505", "42710", "42P07": // unique_violation, duplicate_object, duplicate_table
		return true
	default:
		return false
	}
}
