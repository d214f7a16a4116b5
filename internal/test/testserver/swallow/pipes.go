package swallow

import (
	"context"
	"net"
	"sync"
)

// Pipes is a listener in memory, for an HTTP server in a testing/synctest bubble. Its
// connections are net.Pipe's. Those of grpc's bufconn won't do: a read deadline that
// passes while it is taken back ends a later read there, and net/http sets one in the
// past after each request. Its methods may be called concurrently.
type Pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewPipes returns a listener.
func NewPipes() *Pipes { return &Pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

// DialContext connects to the server, when it accepts. It returns net.ErrClosed once the
// listener is closed, and ctx's error if ctx ends first.
func (p *Pipes) DialContext(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections stay.
func (p *Pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (p *Pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
