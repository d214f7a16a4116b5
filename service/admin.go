package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-go/sluice/consumer"
)

// An adminServer serves health, metrics and profiles. A nil adminServer serves nothing.
type adminServer struct {
	server *http.Server
	addr   string
	done   chan error
}

// listen serves at addr: /livez, /readyz and /healthz by health, /metrics by metrics if
// that is not nil, and profiles if they are wanted.
func listen(ctx context.Context, addr string, health func() consumer.Health, metrics http.Handler, profiles bool) (*adminServer, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", Loopback(addr))
	if err != nil {
		return nil, fmt.Errorf("admin listener: %w (service.admin in the configuration names another address, or %q for none)", err, NoAdmin)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /livez", consumer.Liveness(health))
	mux.Handle("GET /readyz", consumer.Readiness(health))
	mux.Handle("GET /healthz", consumer.HealthHandler(health))
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	if profiles {
		mux.Handle("GET "+profilerPath, profiler{})
	}
	a := &adminServer{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, addr: l.Addr().String(), done: make(chan error, 1)}
	go func() { a.done <- a.server.Serve(l) }()
	return a, nil
}

// url returns its address, NoAdmin if it does not listen.
func (a *adminServer) url() string {
	if a == nil {
		return NoAdmin
	}
	return "http://" + a.addr
}

// close stops serving. Requests that go on when ctx is done are cut off.
func (a *adminServer) close(ctx context.Context) error {
	if a == nil {
		return nil
	}
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // a profile, usually
		err = a.server.Close()
	}
	if served := <-a.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	return nil
}

// Loopback returns an address to listen on: one that names no host is on the
// loopback interface, so that nothing is open to a network by oversight.
func Loopback(addr string) string {
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	if strings.HasPrefix(addr, ":") {
		return "127.0.0.1" + addr
	}
	return addr
}
