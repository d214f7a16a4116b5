package httphandler

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func verdict(h *Handler) handler.Verdict {
	return handler.VerdictOf(h.Handle(context.Background(), &handler.Message{ID: "1", Body: []byte("x"), Attempt: 1}))
}

// An endpoint that refuses connections has not had the message: it is postponed, and
// receiving stops until it is back.
func TestAnEndpointThatIsDownSpendsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	h, err := New("http://user:secret@"+addr, &Config{Logger: quiet()})
	require.NoError(t, err)
	gate := h.Gate().(handler.GateReason)
	n, _ := gate.Admit(5)
	require.Equal(t, 5, n)
	for range 20 {
		v := verdict(h)
		require.True(t, v.Postponed, "%v", v.Err)
		require.Positive(t, v.Delay)
	}
	n, reopened := gate.Admit(5)
	require.Zero(t, n)
	require.Contains(t, gate.Reason(), "connection refused")
	require.NotContains(t, gate.Reason(), "secret")

	l, err = net.Listen("tcp", addr)
	require.NoError(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	<-reopened
	n, _ = gate.Admit(5)
	require.Equal(t, 1, n, "one tries")
	require.Equal(t, handler.ActionAck, verdict(h).Action)
	n, _ = gate.Admit(5)
	require.Equal(t, 5, n)
	require.Empty(t, gate.Reason())
}

// scripted serves HTTP/1 by hand: of each connection it answers as many requests as
// answers says, and closes it under the next.
func scripted(t *testing.T, answers int) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	requests := new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for n := 0; ; n++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					requests.Add(1)
					if n == answers {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), requests
}

// A kept connection that closes under a POST costs nothing: the request is made
// again over another. One that closes a new connection has had the message.
func TestAConnectionThatClosesUnderThePOST(t *testing.T) {
	url, requests := scripted(t, 1)
	h, err := New(url, &Config{Logger: quiet()})
	require.NoError(t, err)
	for range 4 {
		require.Equal(t, handler.ActionAck, verdict(h).Action)
	}
	require.EqualValues(t, 7, requests.Load(), "each but the first was made twice")

	url, requests = scripted(t, 0)
	h, err = New(url, &Config{Logger: quiet()})
	require.NoError(t, err)
	v := verdict(h)
	require.Equal(t, handler.ActionRetry, v.Action)
	require.False(t, v.Postponed, "the endpoint has had the message, and may do so for ever: %v", v.Err)
	require.EqualValues(t, 1, requests.Load())
	n, _ := h.Gate().Admit(5)
	require.Equal(t, 5, n)
}

// A transport of the user's does not report which requests got a connection: only what
// is sure is postponed.
func TestATransportOfTheUsers(t *testing.T) {
	for _, c := range []struct {
		err       error
		postponed bool
	}{{errors.New("odd"), false}, {io.EOF, false}, {&net.OpError{Op: "read", Err: io.EOF}, false}, {&net.OpError{Op: "dial", Err: errors.New("refused")}, true}} {
		h, err := New("http://example.com", &Config{Transport: transportFunc(func(*http.Request) (*http.Response, error) { return nil, c.err }), Logger: quiet()})
		require.NoError(t, err)
		v := verdict(h)
		require.Equal(t, handler.ActionRetry, v.Action)
		require.Equal(t, c.postponed, v.Postponed, "%v", c.err)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// deadEnd is an HTTP/2 endpoint behind a proxy whose connections can die in silence.
type deadEnd struct {
	server *httptest.Server
	l      net.Listener
	dials  atomic.Int64
	mu     sync.Mutex
	live   []*atomic.Bool
}

func newDeadEnd(t *testing.T) *deadEnd {
	t.Helper()
	d := &deadEnd{server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusTeapot)
		}
	}))}
	d.server.EnableHTTP2 = true
	d.server.StartTLS()
	t.Cleanup(d.server.Close)
	var err error
	d.l, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.l.Close() })
	go func() {
		for {
			in, err := d.l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", d.server.Listener.Addr().String())
			if err != nil {
				_ = in.Close()
				continue
			}
			d.dials.Add(1)
			live := new(atomic.Bool)
			live.Store(true)
			d.mu.Lock()
			d.live = append(d.live, live)
			d.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					buf := make([]byte, 32<<10)
					for {
						n, err := pair[0].Read(buf)
						if live.Load() {
							_, _ = pair[1].Write(buf[:n])
						}
						if err != nil {
							_ = pair[1].Close()
							return
						}
					}
				}()
			}
		}
	}()
	return d
}

func (d *deadEnd) die() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, live := range d.live {
		live.Store(false)
	}
}

// handler returns a handler whose transport is New's, but for the roots.
func (d *deadEnd) handler(t *testing.T) *Handler {
	t.Helper()
	h, err := New("https://"+d.l.Addr().String(), &Config{Logger: quiet()})
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(d.server.Certificate())
	h.client.Load().Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// After a request that was not answered in time the next one goes over another
// connection, though net/http may not have ended the unanswered stream yet.
func TestADeadConnectionIsLeftAfterATimeout(t *testing.T) {
	t.Parallel()
	d := newDeadEnd(t)
	h := d.handler(t)
	require.Equal(t, handler.ActionAck, verdict(h).Action)
	d.die()
	h.config.Timeout = 200 * time.Millisecond
	require.Equal(t, handler.ActionRetry, verdict(h).Action)
	h.config.Timeout = time.Minute
	v := verdict(h)
	require.Equal(t, handler.ActionAck, v.Action, "%v", v.Err)
	require.EqualValues(t, 2, d.dials.Load())
}
