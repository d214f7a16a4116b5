package sqlstore

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

// on calls f with a connection of the pool. If the connection fails, or its server
// may not be written to any more, it is thrown away and f is called with another: a
// failover leaves the pool full of such connections. f is called once for each that
// the pool had, and once for a new one: if that fails too, the server does. f must
// be safe to repeat.
func on[T any](ctx context.Context, db *sql.DB, f func(conn *sql.Conn) (T, error)) (T, error) {
	left := 0 // tries; the first is not counted
	for {
		conn, err := db.Conn(ctx)
		if err != nil {
			var zero T
			return zero, err
		}
		v, err := f(conn)
		bad := connectionFailed(err)
		if left--; left < 0 {
			left = db.Stats().OpenConnections
		}
		if bad {
			discard(conn)
		}
		if cerr := conn.Close(); err == nil && cerr != nil && !errors.Is(cerr, driver.ErrBadConn) {
			err = cerr
		}
		if !bad || left == 0 || ctx.Err() != nil {
			return v, err
		}
	}
}

// discard has the pool throw a connection away when it is closed.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // which is what it returns
}

// connectionFailed reports whether err is one of the connection, after which
// another may serve. It is false if ctx has ended or time is over: nothing shows
// then that the connection is at fault.
func connectionFailed(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) {
		return false
	}
	switch state := sqlState(err); {
	case state == "":
	case strings.HasPrefix(state, "08"), // connection exceptions
		state == "25006",                                     // read_only_sql_transaction: the server is a replica now
		state == "57P01", state == "57P02", state == "57P03", // admin_shutdown, crash_shutdown, cannot_connect_now
		state == "57P05": // idle_session_timeout
		return true
	default:
		return false
	}
	var op *net.OpError
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &op) || strings.HasSuffix(err.Error(), "conn closed") // pgx, of a connection that it has given up
}
