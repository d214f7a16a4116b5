package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// Ports are taken from below those that systems give to outgoing connections and to
// listeners without a port (32768 and more on Linux, 49152 on others): between the
// search and the server's start, any connection could take such a port.
const (
	lowestPort  = 20_000
	highestPort = 32_000
	portTries   = 1_000
)

var (
	portsMu sync.Mutex
	// ports are those that FreePort has returned. For each the process keeps the UDP port
	// of the same number, so that FreePort returns it in no other process.
	ports = map[int]net.PacketConn{}
)

// FreePort returns a port of the loopback interface that nobody listens on and that it has
// returned neither before nor in another process that still runs. It may be called
// concurrently.
func FreePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	var last error
	for range portTries {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if _, ok := ports[port]; ok {
			continue
		}
		claim, err := net.ListenPacket("udp", loopback(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			last = err
			continue
		}
		if last = CheckPort(port); last == nil {
			ports[port] = claim // nil on a machine without UDP
			return port, nil
		}
		if claim != nil {
			_ = claim.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d after %d tries: %w", lowestPort, highestPort, portTries, last)
}

// FreeAddr is FreePort for an address of the loopback interface, HOST:PORT.
func FreeAddr() (string, error) {
	port, err := FreePort()
	return loopback(port), err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
