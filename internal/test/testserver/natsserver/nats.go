// Package natsserver starts an in-process NATS server for tests and for
// examples that want one, on a free port of the loopback interface. It is a
// package of its own so that only those link the server who use it.
package natsserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout is far more than a server needs, so that it reports one that hangs.
const startTimeout = time.Minute

// Start returns the URL of a NATS server of the test's own, which ends with the
// test.
func Start(t testing.TB) string {
	t.Helper()
	url, stop, err := Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

// Run starts a NATS server and returns its URL and what ends it.
func Run() (url string, stop func(), err error) { return RunAt(server.RANDOM_PORT) }

// RunAt is Run on a given port, such as that of a server that has ended.
func RunAt(port int) (url string, stop func(), err error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return "", nil, fmt.Errorf("nats server: %w", err)
	}
	go s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return "", nil, fmt.Errorf("nats server: it is not ready after %v", startTimeout)
	}
	return s.ClientURL(), func() {
		s.Shutdown()
		s.WaitForShutdown()
	}, nil
}
