// Package pgpooler is a connection pooler for PostgreSQL in transaction mode, as
// PgBouncer is, for tests: clients share a few connections of the server, and each
// transaction gets the one that has been free for the longest. State that a client
// leaves on a connection, such as a prepared statement, is found by others. It
// trusts every client and speaks no TLS.
package pgpooler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// A Pooler pools the connections of one database. Its methods may be called
// concurrently.
type Pooler struct {
	server, user, database string

	listener net.Listener
	free     chan *backend
	params   []byte // what the server says of itself when a connection begins
	work     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

// backend is a place for a connection of the server, and the connection, if there
// is one.
type backend struct{ conn net.Conn }

// Start starts a pooler on a free port of the loopback interface. It opens at most
// size connections of the server, which listens at addr and trusts user.
func Start(addr, user, database string, size int) (*Pooler, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Pooler{server: addr, user: user, database: database, listener: l, free: make(chan *backend, size), conns: make(map[net.Conn]bool)}
	first, params, err := p.dial()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	p.params = params
	p.free <- &backend{first}
	for range size - 1 {
		p.free <- &backend{}
	}
	p.work.Go(p.accept)
	return p, nil
}

// URL returns the address at which clients reach the database.
func (p *Pooler) URL() string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", p.user, p.listener.Addr(), p.database)
}

// Close ends all connections, and returns when nothing runs any more.
func (p *Pooler) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Drop()
	p.work.Wait()
	return err
}

// Drop closes all connections, of clients and of the server, as a pooler does that
// is restarted.
func (p *Pooler) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Pooler) holds(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[c]
}

// hold has Close end a connection.
func (p *Pooler) hold(c net.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.Join(net.ErrClosed, c.Close())
	}
	p.conns[c] = true
	return nil
}

func (p *Pooler) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *Pooler) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.hold(c) != nil {
			return
		}
		p.work.Go(func() {
			defer p.drop(c)
			_ = p.serve(c) // a client that goes away is as usual
		})
	}
}

// The types of messages that matter here.
const (
	query     = 'Q'
	syncing   = 'S'
	terminate = 'X'
	ready     = 'Z'
	auth      = 'R'
	status    = 'S' // of the server
	fault     = 'E'
)

// message is one of the protocol: its type, its length and its body.
type message []byte

func (m message) kind() byte { return m[0] }

func read(c net.Conn) (message, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > 1<<28 {
		return nil, fmt.Errorf("pgpooler: a message of %d bytes", n)
	}
	m := make(message, n+1)
	copy(m, head)
	_, err := io.ReadFull(c, m[5:])
	return m, err
}

// startup reads what a client begins with, and refuses TLS.
func startup(c net.Conn) error {
	const tls, gss = 80877103, 80877104
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head)
		if n < 8 || n > 1<<16 {
			return fmt.Errorf("pgpooler: a startup of %d bytes", n)
		}
		if _, err := io.CopyN(io.Discard, c, int64(n)-8); err != nil {
			return err
		}
		if code := binary.BigEndian.Uint32(head[4:]); code != tls && code != gss {
			return nil
		}
		if _, err := c.Write([]byte{'N'}); err != nil {
			return err
		}
	}
}

// serve serves a client: it has a connection of the server from the first message
// of a transaction until the server says that none is open.
func (p *Pooler) serve(c net.Conn) error {
	if err := startup(c); err != nil {
		return err
	}
	hello := append([]byte{auth, 0, 0, 0, 8, 0, 0, 0, 0}, p.params...)
	hello = append(hello, ready, 0, 0, 0, 5, 'I')
	if _, err := c.Write(hello); err != nil {
		return err
	}
	for {
		m, err := read(c)
		if err != nil || m.kind() == terminate {
			return err
		}
		b := <-p.free
		err = p.transact(c, b, m)
		if err != nil && b.conn != nil {
			p.drop(b.conn)
			b.conn = nil
		}
		p.free <- b
		if err != nil {
			return err
		}
	}
}

// transact carries messages of a transaction to and fro, m first.
func (p *Pooler) transact(c net.Conn, b *backend, m message) error {
	if b.conn == nil || !p.holds(b.conn) {
		var err error
		if b.conn, _, err = p.dial(); err != nil {
			return err
		}
	}
	for {
		if _, err := b.conn.Write(m); err != nil {
			return err
		}
		if m.kind() == query || m.kind() == syncing {
			idle, err := answer(c, b.conn)
			if idle || err != nil {
				return err
			}
		}
		var err error
		if m, err = read(c); err != nil {
			return err
		}
		if m.kind() == terminate {
			return io.EOF // in the middle of a transaction
		}
	}
}

// answer carries the server's answer to the client, and reports whether no
// transaction is open after it.
func answer(c, server net.Conn) (idle bool, err error) {
	for {
		m, err := read(server)
		if err != nil {
			return false, err
		}
		if _, err := c.Write(m); err != nil {
			return false, err
		}
		if m.kind() == ready {
			return m[5] == 'I', nil
		}
	}
}

// dial opens a connection of the server. It also returns what the server says of
// itself.
func (p *Pooler) dial() (c net.Conn, params []byte, err error) {
	if c, err = net.Dial("tcp", p.server); err != nil {
		return nil, nil, err
	}
	if err := p.hold(c); err != nil {
		return nil, nil, err
	}
	if params, err = p.greet(c); err != nil {
		p.drop(c)
		return nil, nil, err
	}
	return c, params, nil
}

func (p *Pooler) greet(c net.Conn) (params []byte, err error) {
	body := fmt.Appendf(nil, "\x00\x03\x00\x00user\x00%s\x00database\x00%s\x00\x00", p.user, p.database)
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil { //nolint:gosec // two short names
		return nil, err
	}
	for {
		m, err := read(c)
		if err != nil {
			return nil, err
		}
		switch m.kind() {
		case ready:
			return params, nil
		case status:
			params = append(params, m...)
		case fault:
			return nil, fmt.Errorf("pgpooler: the server refuses: %q", m[5:])
		}
	}
}
