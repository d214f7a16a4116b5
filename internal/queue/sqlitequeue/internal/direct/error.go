package direct

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// An Error is a result code of SQLite, with its message.
type Error struct {
	code    int
	message string
}

// newError returns the error of a result code. db may be 0.
func newError(tls *libc.TLS, db uintptr, code int32) *Error {
	e := &Error{code: int(code), message: libc.GoString(sqlite3.Xsqlite3_errstr(tls, code))}
	if db != 0 {
		if m := libc.GoString(sqlite3.Xsqlite3_errmsg(tls, db)); m != e.message {
			e.message += ": " + m
		}
	}
	return e
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.message, e.code) }

// Code returns the extended result code.
func (e *Error) Code() int { return e.code }
