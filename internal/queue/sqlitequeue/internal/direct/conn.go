package direct

import (
	"errors"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// A Conn is a connection to a database. It must not be used concurrently.
type Conn struct {
	tls        *libc.TLS
	db         uintptr
	statements map[string]*Stmt
}

// Open opens the database of a URI. It waits for no lock: whoever meets one gets
// SQLITE_BUSY.
func Open(uri string) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS(), statements: map[string]*Stmt{}}
	name, err := libc.CString(uri)
	if err != nil {
		c.tls.Close()
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	place := libc.Xmalloc(c.tls, types.Size_t(unsafe.Sizeof(c.db)))
	if place == 0 {
		c.tls.Close()
		return nil, errMemory
	}
	defer libc.Xfree(c.tls, place)
	const flags = sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_CREATE | sqlite3.SQLITE_OPEN_NOMUTEX | sqlite3.SQLITE_OPEN_URI
	code := sqlite3.Xsqlite3_open_v2(c.tls, name, place, flags, 0)
	c.db = *(*uintptr)(pointer(place))
	if code == sqlite3.SQLITE_OK {
		code = sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	}
	if code != sqlite3.SQLITE_OK {
		return nil, errors.Join(newError(c.tls, c.db, code), c.Close())
	}
	return c, nil
}

var errMemory = errors.New("SQLite: out of memory")

// Close closes the connection and its statements.
func (c *Conn) Close() error {
	for _, s := range c.statements {
		s.finalize()
	}
	c.statements = nil
	if c.db == 0 {
		return nil
	}
	code := sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	c.db = 0
	c.tls.Close()
	if code != sqlite3.SQLITE_OK {
		return &Error{code: int(code), message: "close"}
	}
	return nil
}

// Run runs a statement once and keeps nothing of it. It is for statements that do
// their work when they are prepared, as some pragmas do.
func (c *Conn) Run(query string) error {
	s, err := c.compile(query, 0)
	if err != nil {
		return err
	}
	defer s.finalize()
	return s.Exec()
}

// Prepare returns the statement of a query, which is kept until the connection is
// closed. Nobody else may be using it.
func (c *Conn) Prepare(query string) (*Stmt, error) {
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	s, err := c.compile(query, sqlite3.SQLITE_PREPARE_PERSISTENT)
	if err == nil {
		c.statements[query] = s
	}
	return s, err
}

// Statements returns the statements that are kept, by their queries.
func (c *Conn) Statements() map[string]*Stmt { return c.statements }

func (c *Conn) compile(query string, flags uint32) (*Stmt, error) {
	text, err := libc.CString(query)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	place := libc.Xmalloc(c.tls, types.Size_t(unsafe.Sizeof(c.db)))
	if place == 0 {
		return nil, errMemory
	}
	defer libc.Xfree(c.tls, place)
	if code := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, int32(len(query))+1, flags, place, 0); code != sqlite3.SQLITE_OK { //nolint:gosec // queries are short
		return nil, newError(c.tls, c.db, code)
	}
	return &Stmt{conn: c, handle: *(*uintptr)(pointer(place))}, nil
}

// pointer is the pointer to memory of SQLite's, which Go neither moves nor frees.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }
