package direct

import (
	"database/sql"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// A Stmt is a prepared statement. One execution ends before the next begins.
type Stmt struct {
	conn   *Conn
	handle uintptr

	// buffer holds the strings and blobs of the execution, of which the first used
	// bytes are taken. It is memory of SQLite's.
	buffer     uintptr
	size, used int
}

// keptBuffer is how much of a buffer is kept for the next execution.
const keptBuffer = 64 << 10

// Exec runs the statement to its end.
func (s *Stmt) Exec(args ...any) error {
	if err := s.bind(args); err != nil {
		return err
	}
	for {
		more, err := s.Next()
		if err != nil || !more {
			return err
		}
	}
}

// First copies the columns of the first row of a statement that was begun, and
// carries out the rest of it. Without a row it returns [sql.ErrNoRows].
func (s *Stmt) First(dest ...any) error {
	more, err := s.Next()
	if err != nil {
		return err
	}
	if !more {
		return sql.ErrNoRows
	}
	if err := s.Scan(dest...); err != nil {
		s.End()
		return err
	}
	for more && err == nil {
		more, err = s.Next()
	}
	return err
}

// Begin starts the statement: Next brings its rows.
func (s *Stmt) Begin(args ...any) error { return s.bind(args) }

// Next steps to the next row. The statement has ended if there is none, or after an
// error.
func (s *Stmt) Next() (bool, error) {
	code := sqlite3.Xsqlite3_step(s.conn.tls, s.handle)
	if code == sqlite3.SQLITE_ROW {
		return true, nil
	}
	var err error
	if code != sqlite3.SQLITE_DONE {
		err = newError(s.conn.tls, s.conn.db, code)
	}
	s.End()
	return false, err
}

// End ends the execution. A second call does nothing.
func (s *Stmt) End() {
	sqlite3.Xsqlite3_reset(s.conn.tls, s.handle) // its error is that of the last step
	s.used = 0
}

// Changes returns how many rows the latest statement of the connection changed.
func (s *Stmt) Changes() int64 { return int64(sqlite3.Xsqlite3_changes(s.conn.tls, s.conn.db)) }

// Scan copies the row's columns. A NULL is the zero value.
func (s *Stmt) Scan(dest ...any) error {
	for i, d := range dest {
		col := int32(i) //nolint:gosec // there are few columns
		switch d := d.(type) {
		case *int64:
			*d = s.integer(col)
		case *int:
			*d = int(s.integer(col))
		case *bool:
			*d = s.integer(col) != 0
		case *string:
			*d = s.text(col)
		case *[]byte:
			*d = s.blob(col)
		case *sql.NullInt64:
			d.Valid = sqlite3.Xsqlite3_column_type(s.conn.tls, s.handle, col) != sqlite3.SQLITE_NULL
			d.Int64 = s.integer(col)
		default:
			return fmt.Errorf("column %d is scanned into a type that is not known", i)
		}
	}
	return nil
}

// Reprepared returns how often the statement had to be compiled again. SQLite does so
// when the schema has changed, and, since it takes the values of some parameters into
// account, when one of those is bound to 0 or 1: "?+0" in place of "?" avoids that.
func (s *Stmt) Reprepared() int {
	return int(sqlite3.Xsqlite3_stmt_status(s.conn.tls, s.handle, sqlite3.SQLITE_STMTSTATUS_REPREPARE, 0))
}

func (s *Stmt) integer(col int32) int64 {
	return sqlite3.Xsqlite3_column_int64(s.conn.tls, s.handle, col)
}

func (s *Stmt) text(col int32) string {
	p := sqlite3.Xsqlite3_column_text(s.conn.tls, s.handle, col)
	n := sqlite3.Xsqlite3_column_bytes(s.conn.tls, s.handle, col)
	if p == 0 || n == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(pointer(p)), n))
}

func (s *Stmt) blob(col int32) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.conn.tls, s.handle, col)
	n := sqlite3.Xsqlite3_column_bytes(s.conn.tls, s.handle, col)
	if p == 0 || n == 0 {
		return nil
	}
	b := make([]byte, n)
	copy(b, unsafe.Slice((*byte)(pointer(p)), n))
	return b
}

// bind binds all parameters.
func (s *Stmt) bind(args []any) error {
	if err := s.reserve(args); err != nil {
		return err
	}
	for i, a := range args {
		at := int32(i + 1) //nolint:gosec // there are few parameters
		var code int32
		switch a := a.(type) {
		case int64:
			code = sqlite3.Xsqlite3_bind_int64(s.conn.tls, s.handle, at, a)
		case int:
			code = sqlite3.Xsqlite3_bind_int64(s.conn.tls, s.handle, at, int64(a))
		case bool:
			var v int64
			if a {
				v = 1
			}
			code = sqlite3.Xsqlite3_bind_int64(s.conn.tls, s.handle, at, v)
		case string:
			p := s.put(len(a))
			copy(s.memory(p, len(a)), a)
			code = sqlite3.Xsqlite3_bind_text(s.conn.tls, s.handle, at, p, int32(len(a)), 0) //nolint:gosec // SQLite refuses what is longer than 10^9 bytes
		case []byte:
			if a == nil {
				code = sqlite3.Xsqlite3_bind_null(s.conn.tls, s.handle, at)
				break
			}
			p := s.put(len(a))
			copy(s.memory(p, len(a)), a)
			code = sqlite3.Xsqlite3_bind_blob(s.conn.tls, s.handle, at, p, int32(len(a)), 0) //nolint:gosec // as above
		default:
			// Its type would let all parameters escape to the heap.
			return fmt.Errorf("parameter %d has a type that is not known", i+1)
		}
		if code != sqlite3.SQLITE_OK {
			return newError(s.conn.tls, s.conn.db, code)
		}
	}
	return nil
}

// reserve makes room for the strings and blobs among the arguments.
func (s *Stmt) reserve(args []any) error {
	need := 1 // also an empty one has an address
	for _, a := range args {
		switch a := a.(type) {
		case string:
			need += len(a)
		case []byte:
			need += len(a)
		}
	}
	s.used = 0
	if need <= s.size && (s.size <= keptBuffer || need > keptBuffer) {
		return nil
	}
	// Nobody reads the freed buffer: every parameter is bound anew before the next
	// step.
	libc.Xfree(s.conn.tls, s.buffer)
	s.size = max(need, 64)
	if s.buffer = libc.Xmalloc(s.conn.tls, types.Size_t(s.size)); s.buffer == 0 { //nolint:gosec // it is above zero
		s.size = 0
		return errMemory
	}
	return nil
}

// put takes n bytes of the buffer.
func (s *Stmt) put(n int) uintptr {
	p := s.buffer + uintptr(s.used) //nolint:gosec // it is not below zero
	s.used += n
	return p
}

func (s *Stmt) memory(p uintptr, n int) []byte {
	return unsafe.Slice((*byte)(pointer(p)), n)
}

func (s *Stmt) finalize() {
	sqlite3.Xsqlite3_finalize(s.conn.tls, s.handle)
	libc.Xfree(s.conn.tls, s.buffer)
	s.handle, s.buffer, s.size = 0, 0, 0
}
