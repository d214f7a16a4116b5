package sqstest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// web is the socket of a server.
type web struct {
	addr   string
	server *http.Server
	served chan struct{} // closed when the serving goroutine has ended
	failed error         // why it ended, once served is closed

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func listen(s *Server, addr string) (*web, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &web{addr: l.Addr().String(), served: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	w.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return s.registry.base },
		ConnState: func(c net.Conn, state http.ConnState) {
			w.mu.Lock()
			defer w.mu.Unlock()
			switch state {
			case http.StateNew:
				w.conns[c] = struct{}{}
				if s.down.Load() {
					abort(c)
				}
			case http.StateClosed, http.StateHijacked:
				delete(w.conns, c)
			case http.StateActive, http.StateIdle:
			}
		},
	}
	go func() {
		defer close(w.served)
		if err := w.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			w.failed = err
		}
	}()
	return w, nil
}

// abort closes a connection with a reset.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // if it fails, a plain close will do
	}
	_ = c.Close() // the connection must go; nothing was promised to its other end
}

// drop resets all connections.
func (w *web) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		abort(c)
	}
}

func (w *web) close() error {
	err := w.server.Close()
	<-w.served
	return errors.Join(err, w.failed)
}
