// Package swallow stands between a client and a server, in tests, and lets their
// connections die in silence: bytes are taken and go nowhere, and nothing is closed
// or refused. So it is behind a load balancer, a VPN or an address translation whose
// far side is gone. It works on sockets, and on pipes in a testing/synctest bubble.
package swallow

import (
	"context"
	"errors"
	"net"
	"sync"
)

// A Line carries connections to one server. Its methods may be called
// concurrently.
type Line struct {
	to func(context.Context) (net.Conn, error)

	mu    sync.Mutex
	wires []*wire
	dials int
	ends  []func()
}

// A wire is one connection.
type wire struct {
	mu   sync.Mutex
	dead bool
}

func (w *wire) isDead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// To returns a line to the server to which to connects.
func To(to func(context.Context) (net.Conn, error)) *Line { return &Line{to: to} }

// ToAddr returns a line to a TCP address.
func ToAddr(addr string) *Line {
	return To(func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) })
}

// Die has the connections that are open now swallow what comes. Later ones work.
func (l *Line) Die() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.wires {
		w.mu.Lock()
		w.dead = true
		w.mu.Unlock()
	}
}

// Dials returns how many connections were made.
func (l *Line) Dials() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dials
}

// Dial connects by a pipe. The network and the address are not looked at.
func (l *Line) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	theirs, ours := net.Pipe()
	if err := l.carry(ctx, ours); err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	return theirs, nil
}

// Listen takes connections on a free port of 127.0.0.1 and returns its address.
func (l *Line) Listen() (string, error) {
	in, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	l.ends = append(l.ends, func() { _ = in.Close() })
	l.mu.Unlock()
	go func() {
		for {
			c, err := in.Accept()
			if err != nil {
				return
			}
			go func() { _ = l.carry(context.Background(), c) }() // on an error c is closed
		}
	}()
	return in.Addr().String(), nil
}

// Close closes all connections, and the port.
func (l *Line) Close() {
	l.mu.Lock()
	ends := l.ends
	l.ends = nil
	l.mu.Unlock()
	for _, end := range ends {
		end()
	}
}

func (l *Line) carry(ctx context.Context, from net.Conn) error {
	to, err := l.to(ctx)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	w := &wire{}
	l.mu.Lock()
	l.dials++
	l.wires = append(l.wires, w)
	l.ends = append(l.ends, func() { _, _ = from.Close(), to.Close() })
	l.mu.Unlock()
	go w.pump(from, to)
	go w.pump(to, from)
	return nil
}

// pump carries bytes one way. The end of a dead connection is not told to the other
// side either.
func (w *wire) pump(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !w.isDead() {
			_, _ = to.Write(buf[:n])
		}
		if err != nil {
			if !w.isDead() {
				_ = to.Close()
			}
			return
		}
	}
}
