// Package process runs a server for a test or a command. It starts the server in
// its own process group, waits until it is healthy, stops it by its id, and
// ensures that none of its processes outlives the process that started it,
// however that ends.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// A Spec describes a server to run.
type Spec struct {
	// Name is what errors call the server.
	Name string
	// Args are the program and its arguments.
	Args []string
	// Env is added to this process's environment.
	Env []string
	// Dir is the working directory, and the place of the server's output.
	Dir string
	// User is the user to run as. Empty is this process's own. Only root can
	// name another.
	User string
	// Interrupt asks the server to stop with SIGINT rather than SIGTERM
	// (PostgreSQL: a fast shutdown, not one that waits for clients).
	Interrupt bool
	// RemoveDir has Dir removed if the process that the server ends with dies
	// without stopping it.
	RemoveDir bool
	// Port is a port of the loopback interface that must be free. Zero is not
	// checked.
	Port int
	// Owner is the ID of a process of the same user. If it is not zero the
	// server outlives this process and ends with that one, unless Stop ends it
	// first.
	Owner int
	// Healthy returns nil once the server answers. It is called until then.
	Healthy func(ctx context.Context) error
	// Timeout bounds the start. Zero means DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is how long a server may take to become healthy. It is long
// because a loaded machine is slow.
const DefaultTimeout = 90 * time.Second

// LogFile is the name of the file in Spec.Dir that the server's output goes to.
const LogFile = "server.log"

// awaitHealth asks s.Healthy until it succeeds, the server exits or the time is
// up.
func awaitHealth(ctx context.Context, s Spec, exited <-chan struct{}) error {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-exited:
			return fmt.Errorf("%s ended while starting; its output ends with: %s", s.Name, tail(s.Dir))
		case <-ctx.Done():
			return fmt.Errorf("%s is not healthy after %v: %w; its output ends with: %s", s.Name, timeout, last, tail(s.Dir))
		case <-tick.C:
		}
		probe, done := context.WithTimeout(ctx, 5*time.Second)
		last = s.Healthy(probe)
		done()
		if last == nil {
			return nil
		}
	}
}

// tail returns the end of the server's output.
func tail(dir string) string {
	const most = 2000
	b, err := os.ReadFile(dir + string(os.PathSeparator) + LogFile)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}

// CheckPort returns an error if a port of the loopback interface is taken. A
// server that cannot listen may report it late.
func CheckPort(port int) error {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return fmt.Errorf("port %d is taken: %w", port, err)
	}
	return l.Close()
}

// HTTP returns a health check: url answers with 200.
func HTTP(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		// It is a separate transport, so that a leak check finds no idle connection.
		tr := &http.Transport{DisableKeepAlives: true}
		res, err := tr.RoundTrip(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, res.Status)
		}
		return nil
	}
}
